//! The million, fifty times smaller: one engine, 20,000 subscribers, ten broadcasts, nothing lost.
//!
//! `scenarios/million.py` does it and judges it; here it must hold on whatever machine the tests run
//! on, so nothing is timed: the ramp is not compared with bare pairs.

use std::path::Path;
use std::process::Command;

/// The folder of this build's programs. The other crates' are built first: a test is only given its
/// own crate's.
fn programs() -> &'static Path {
    let folder = Path::new(env!("CARGO_BIN_EXE_floor-pairs")).parent().expect("it is in a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "downpour", "-p", "downpour-load"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "the engine and the load generator must build");
    folder
}

#[test]
fn twenty_thousand_subscribers_of_one_process_get_every_broadcast_over_uring() {
    let out = tempfile::tempdir().expect("a folder for the results");
    let run = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/million.py"))
        .args(["--subscribers", "20000", "--broadcasts", "10", "--no-floor"])
        .arg("--bin")
        .arg(programs())
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("Python is there, which the tests need anyway");
    let said = String::from_utf8_lossy(&run.stdout);
    let complaints = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{complaints}");
    assert!(said.contains("200,000 deliveries of 200,000, 0 lost"), "{said}");
}
