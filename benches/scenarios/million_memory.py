"""Where the memory of a million subscribers is: byte for byte, by what it is for.

Two readings of the kernel's books, before the first connection and when all are open and quiet;
their difference, divided by the subscribers, is put into classes. What no class explains is shown
as a class of its own. All figures but the processes' own are those of the whole machine.
"""

import rig

# A cache of the kernel's and the class its objects belong to, by how its name begins.
CLASSES = [
    ("socket", ("TCP", "sock_inode_cache", "dentry", "filp", "lsm_inode", "lsm_file",
                "request_sock_TCP", "tw_sock_TCP")),
    # Kernels merge caches of one size; these are then found by the name of the oldest of them.
    ("watch, port", ("eventpoll_", "ep_head", "anon_vma_chain", "tcp_bind")),
    ("request", ("io_kiocb", "kmalloc-", "io_")),
    ("packet", ("skbuff_",)),
]
# What a class is, for a reader.
MEANINGS = {
    "socket": "both ends: TCP, inode, directory entry, file",
    "watch, port": "the engine's registration of each subscriber with epoll (208 B), and the load "
                   "generator's port (128 B), in the same caches",
    "request": "pending receives of the load generator, entries of the tables of fixed files",
    "packet": "packets on the way or not yet read",
    "slot": "the engine's own memory (PSS)",
    "client": "the load generator's own memory (PSS)",
    "page tables": "of both processes",
    "slack": "places of slab pages that hold nothing, and tables too large for slabs",
    "rest": "what became unavailable and is in none of the above",
}
OTHER = "other caches"


def reading(server_pss_bytes, client_pss_bytes):
    """All books at one moment."""
    slabs = rig.slabs()
    return {
        "slabs": slabs,
        "slab_bytes": rig.status_bytes("meminfo", "Slab"),
        "vmalloc_bytes": rig.status_bytes("meminfo", "VmallocUsed"),
        "page_table_bytes": rig.status_bytes("meminfo", "PageTables"),
        # Not MemAvailable: it takes inodes and directory entries of open sockets for free memory.
        "free_bytes": sum(rig.status_bytes("meminfo", name)
                          for name in ("MemFree", "Buffers", "Cached")),
        "server_bytes": server_pss_bytes,
        "client_bytes": client_pss_bytes,
    }


def class_of(cache):
    for name, beginnings in CLASSES:
        if cache.startswith(beginnings):
            return name
    return OTHER


def by_class(before, after, subscribers):
    """Bytes per subscriber in each class, and of each cache that has grown by a byte and more."""
    def grown(key):
        return (after[key] - before[key]) / subscribers

    caches = {cache: (size - before["slabs"].get(cache, 0)) / subscribers
              for cache, size in after["slabs"].items()}
    classes = {name: 0.0 for name in MEANINGS} | {OTHER: 0.0}
    for cache, size in caches.items():
        classes[class_of(cache)] += size
    classes["slot"] = grown("server_bytes")
    classes["client"] = grown("client_bytes")
    classes["page tables"] = grown("page_table_bytes")
    classes["slack"] = grown("slab_bytes") - sum(caches.values()) + grown("vmalloc_bytes")
    taken = (before["free_bytes"] - after["free_bytes"]) / subscribers
    classes["rest"] = taken - sum(classes.values())
    return {
        "taken": taken,
        "classes": classes,
        "caches": {cache: size for cache, size in caches.items() if abs(size) >= 1},
    }


def table(account):
    """The account as a table, largest first."""
    classes = sorted(account["classes"].items(), key=lambda pair: -pair[1])
    rows = [f"| {name} | {size:,.0f} | {MEANINGS.get(name, '')} |" for name, size in classes
            if abs(size) >= 1 or name == "rest"]
    return ["| class | bytes per subscriber | what |", "| --- | ---: | --- |", *rows,
            f"| **all** | **{account['taken']:,.0f}** | what the machine has less of |"]
