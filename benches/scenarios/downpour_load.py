"""The client `downpour-load run`: its command line, and its report as figures."""

# 4: it holds its own measurement for invalid and says why; the report is complete.
EXIT_CODES = {0, 4}


def command(load, running, options):
    cpu = str(options.client_cpu)
    words = ["taskset", "-c", cpu, f"{options.bin}/downpour-load", "run",
             f"http://127.0.0.1:{running.port}", "--quiet", "--json", "-",
             "--threads", "1", "--cpus", cpu, "--publisher-cpu", cpu,
             "--topics", str(load.topics), "--subscribers", str(load.subscribers + load.stalled),
             "--rate", f"{load.events_per_s:g}", "--size", str(load.payload_bytes),
             "--warmup", f"{options.warm_up}s", "--duration", f"{options.seconds}s",
             # It measures one process: the one started last is the one that serves.
             "--pid", str(max(running.pids()))]
    if load.stalled:
        words += ["--slow", f"{load.stalled}:0"]
    if load.lines and running.server.lines:
        words += ["--publish-batch"]
    return words


def figures(report, load, options):
    counts, server = report["counts"], report["server"] or {}
    rates, publish = report["rates"], report["publish"] or {}
    cpu_ns = server.get("cpu_per_delivery_ns")

    def milliseconds(metric, percentile):
        found = report["metrics"].get(metric, {}).get("p", {}).get(percentile)
        return found / 1e6 if found else None

    return {
        "deliveries": counts["unique"],
        "missing": counts["lost"] + counts["late"] + counts["unread"],
        "closed": sum(counts["disconnects"].values()),
        "published_share": publish["sent"] / publish["planned"] if publish.get("planned") else None,
        "cpu_us_per_delivery": cpu_ns / 1e3 if cpu_ns else None,
        "million_deliveries_per_cpu_s": 1e3 / cpu_ns if cpu_ns else None,
        "million_deliveries_per_s": rates["deliveries"] / 1e6 if rates["deliveries"] else None,
        "p50_ms": milliseconds("delivery", "50"),
        "p99_ms": milliseconds("delivery", "99"),
        "last_p50_ms": milliseconds("last", "50"),
        "last_p99_ms": milliseconds("last", "99"),
        "server_busy": server.get("cores"),
        "client_busy": report["rig"]["busiest_thread"],
        "verdict": report["verdict"],
    }
