//! Wrong usage: exit code 2 and a message that says what was wrong and what is allowed, before
//! anything is started or asked over the network.

use std::process::Command;

#[test]
fn every_command_answers_wrong_usage_with_two_and_what_would_be_right() {
    let url = "http://127.0.0.1:1";
    for (line, words) in [
        ("run ftp://h", ["ftp", "not http"]),
        ("run --profile mercure https://h", ["https", "TLS"]),
        ("run URL --publish POST_ftp://h", ["--publish", "not http"]),
        ("run URL --publish patch_http://h", ["--publish", "POST http://host/path"]),
        ("run URL --publish-body x", ["--publish-body", "{data}"]),
        ("run URL --header x", ["--header", "Name: value"]),
        ("run URL --publish-header @/nonexistent", ["/nonexistent", "@FILE"]),
        ("run URL --profile nchan --publish-batch", ["--publish-batch", "nchan"]),
        ("run URL --publish-batch=2s", ["--publish-batch 2 s", "at most 1 s"]),
        ("run URL --publish-dist flat", ["--publish-dist", "zipf:EXPONENT"]),
        ("run URL --inject sigterm@1s", ["--inject", "sigstop:1.4s@30s"]),
        ("run URL --inject sigkill@1s", ["--inject", "--spawn"]),
        ("run URL --inject sigkill@60s --spawn true", ["sigkill@60s", "--duration"]),
        ("run URL --floor /nonexistent", ["--floor", "/nonexistent"]),
        ("run URL --rate 1g --duration 1h", ["events", "--rate"]),
        ("run URL --json /nonexistent/x", ["--json", "no folder"]),
        ("run URL --slo nonsense<1", ["--slo", "delivery"]),
        ("run URL --scenario /nonexistent", ["--scenario", "/nonexistent"]),
        ("connect URL --connect-rate 1:2", ["--connect-rate", "one rate"]),
        ("calibrate -- --size 1", ["--size", "64"]),
        ("find --from 2 --to 1 --slo lost==0 -- URL", ["--from 2", "from <= to"]),
        ("find --from 1 --to 2 --slo lost==0 -- URL --topics 0", ["--topics 0", "1 to"]),
        ("find --from 1 --to 2 --vary shoes --slo lost==0 -- URL", ["--shoes", "unexpected"]),
        ("storm ftp://h", ["ftp", "not http"]),
        ("storm URL --cut server", ["--cut server", "--spawn"]),
        ("storm URL --rate 1:2", ["--rate", "one rate"]),
        ("storm URL --size 64:100", ["--size", "ranges are for run"]),
        ("run URL --rate 0:0", ["--rate", "above 0"]),
        ("run URL --rate 10/30s,20", ["--rate", "RATE/TIME"]),
        ("run URL --rate sine:10/60s", ["--rate", "sine:FROM:TO/PERIOD"]),
        ("run URL --rate @/nonexistent", ["/nonexistent", "@FILE"]),
        ("run URL --rate 10/0s", ["--rate", "more than 0"]),
        ("serve --write-bytes-max 0", ["--write-bytes-max 0", "1 or more"]),
        ("serve --script /nonexistent", ["--script", "/nonexistent"]),
        ("serve --fault drop:every=0", ["every=0", "1 or more"]),
        ("compare", ["FILE", "--server"]),
        ("merge", ["FILES", "required"]),
        ("nonsense", ["nonsense", "subcommand"]),
    ] {
        let words_of = line.split(' ').map(|word| word.replace("URL", url).replace('_', " "));
        let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(words_of)
            .env("XDG_STATE_HOME", "/nonexistent")
            .output()
            .expect("the binary under test starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_server_that_is_not_there_is_no_wrong_usage() {
    for line in ["run http://127.0.0.1:1", "storm http://127.0.0.1:1 --patience 100ms -c 1"] {
        let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(line.split(' '))
            .output()
            .expect("the binary under test starts");
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
}
