//! The page in a browser: headless Chromium draws it at two widths, light and dark, and says what
//! is wrong (`page/look.mjs`).
//!
//! Needs `chromium` and `node`, which `engine/tests/clients/setup.sh` installs; without them the
//! test fails and says so.

use std::path::Path;
use std::process::Command;

/// What the browser says of a page: what is wrong with it, or with `--table` its table.
fn look(page: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/look.mjs");
    let output = Command::new("node").arg(script).arg(page).args(arguments).output();
    let output = output.expect("node; engine/tests/clients/setup.sh installs what is missing");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() || !said.is_empty(),
        "the page was not looked at (node and chromium are needed; \
         engine/tests/clients/setup.sh installs them): {complaint}"
    );
    said
}

fn load(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(arguments)
        .output()
        .expect("the binary under test starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    // 4: a short run on a busy machine is no good measurement, and a page all the same.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{arguments:?}: {complaint}");
}

const RUN: &str = "--rate 100 --duration 2s --warmup 200ms --horizon 500ms -c 40";

fn words() -> Vec<&'static str> {
    RUN.split(' ').collect()
}

#[test]
fn the_page_of_a_comparison_and_of_each_of_its_runs_is_drawn_without_a_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("text");
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let serve = format!("{program} serve --listen 127.0.0.1:{{port}}");
    let servers = [
        format!("floor={serve}"),
        format!("a server with quite a long name={serve} --fault delay:by=3ms"),
        format!("lossy={serve} --fault drop:every=9"),
    ];
    let mut arguments = vec!["compare", "--out", out, "--rounds", "2", "--floor", "floor"];
    servers.iter().for_each(|server| arguments.extend(["--server", server]));
    arguments.push("--");
    load(&[arguments, words()].concat());
    let page = folder.path().join("compare.html");
    assert_eq!(look(&page, &[]), "");

    // The page computes its table anew from the histograms in it; Markdown has it from the files.
    let table: Vec<Vec<String>> =
        serde_json::from_str(&look(&page, &["--table"])).expect("a table");
    let text = std::fs::read_to_string(folder.path().join("summary.md")).expect("the table");
    let written = text.lines().take_while(|line| line.starts_with('|'));
    let written: Vec<Vec<String>> = written
        .filter(|line| !line.starts_with("| --"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace(" (1 of 2)", "").to_lowercase()).collect()
        })
        .collect();
    let shown = table.into_iter().map(|row| row.iter().map(|cell| cell.to_lowercase()).collect());
    assert_eq!(shown.collect::<Vec<Vec<String>>>(), written);
}

#[test]
fn the_page_of_a_run_with_faults_and_of_one_without_a_delivery_is_drawn_without_a_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let faulty = "--fault drop:every=9 --fault duplicate:every=7";
    for (name, fault, more) in [("faulty", faulty, &[][..]), ("silent", "", &["--no-publish"])] {
        let page = folder.path().join(format!("{name}.html"));
        let port = free_port();
        let spawn = format!("{program} serve --listen 127.0.0.1:{port} {fault}");
        let url = format!("http://127.0.0.1:{port}");
        let html = page.to_str().expect("text");
        let run = ["run", "--quiet", &url, "--spawn", &spawn, "--html", html];
        load(&[&run[..], &words(), more].concat());
        assert_eq!(look(&page, &[]), "", "{name}");
    }
}

/// A port that nobody listens on, below those that the kernel gives to whoever asks for any.
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (19_000..20_000).find(is_free).expect("one port of a thousand is free")
}
