"""The client `floor-receive`: its command line, and its report as figures."""

EXIT_CODES = {0}


def command(load, running, options, **instead):
    """The command line; `instead` replaces `warm_up` or `seconds` of the options."""
    if load.topics > 1:
        raise SystemExit("floor-receive knows one topic only; take --client downpour-load")
    times = {"warm_up": options.warm_up, "seconds": options.seconds} | instead
    lines = load.lines and running.server.lines
    words = ["taskset", "-c", str(options.client_cpu), f"{options.bin}/floor-receive",
             "--connect", f"127.0.0.1:{running.port}",
             "--subscribers", str(load.subscribers), "--stalled", str(load.stalled),
             "--rate", str(load.events_per_s), "--bytes", str(load.payload_bytes),
             "--publish", "lines" if lines else "post",
             "--read", "count" if load.counted_only else "stamps",
             "--warm-up", str(times["warm_up"]), "--seconds", str(times["seconds"])]
    for pid in running.pids():
        words += ["--server-pid", str(pid)]
    return words


def figures(report, load, options):
    latency = report["latency"] or {}
    whole = report["whole_run"]
    due_count = load.events_per_s * (options.warm_up + options.seconds)

    def milliseconds(whom, percentile):
        found = latency.get(whom)
        return found[f"{percentile}_ns"] / 1e6 if found else None

    cpu_ns = report["server_cpu_ns_per_delivery"]
    deliveries, window_ns = report["delivery_count"], report["window_ns"]
    return {
        "deliveries": deliveries,
        "missing": whole["missing_count"],
        "closed": whole["closed_count"],
        "published_share": whole["published_count"] / due_count if due_count else None,
        "events_per_read": deliveries / max(report["read_count"], 1),
        "cpu_us_per_delivery": cpu_ns / 1e3 if cpu_ns else None,
        "million_deliveries_per_cpu_s": 1e3 / cpu_ns if cpu_ns else None,
        "million_deliveries_per_s": deliveries * 1e3 / window_ns,
        "p50_ms": milliseconds("to_each", "p50"),
        "p99_ms": milliseconds("to_each", "p99"),
        "last_p50_ms": milliseconds("to_last", "p50"),
        "last_p99_ms": milliseconds("to_last", "p99"),
        "server_busy": cpu_ns * deliveries / window_ns if cpu_ns else None,
        "client_busy": report["client_cpu_ns"] / window_ns,
    }
