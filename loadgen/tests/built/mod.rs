//! The engine of this build. It is built first: a test is only given its own crate's programs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the engine as the tests themselves are built, and says where it is.
pub(crate) fn engine() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_downpour-load")).parent().expect("a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "downpour"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(built.success(), "the engine must build");
    folder.join("downpour")
}
