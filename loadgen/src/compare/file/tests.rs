//! Comparisons as they are written, and as they are understood.

use super::*;

const TEXT: &str = "
rounds = 5
floor = 'bare'
setup = 'make -C {here}'
[plan]
subscribers = '5k'
[[server]]
name = 'bare'
spawn = '{here}/bare {port}'
[[server]]
name = 'z'
url = 'http://127.0.0.1:80'
plan = { profile = 'nchan' }
[[server]]
name = 'a'
spawn = 'a {port}'
setup = 'cd {here} && make a'
";

fn contest(text: &str) -> Result<Contest, String> {
    Contest::of(toml::from_str(text).map_err(|error| error.to_string())?, "/folder")?.checked()
}

fn names(servers: &[&Server]) -> Vec<String> {
    servers.iter().map(|one| one.name.clone()).collect()
}

#[test]
fn a_file_keeps_the_order_of_its_servers_and_knows_its_own_folder() {
    let contest = contest(TEXT).unwrap();
    assert_eq!(contest.names(), ["bare", "z", "a"]);
    assert_eq!((contest.rounds, contest.setup.as_deref()), (Some(5), Some("make -C /folder")));
    assert_eq!(contest.flags, ["--subscribers=5k"]);
    let [bare, z, a] = &contest.servers[..] else { panic!("three") };
    assert_eq!(bare.spawn.as_deref(), Some("/folder/bare {port}"));
    assert_eq!(bare.url, SPAWNED_URL);
    assert_eq!((z.spawn.as_ref(), z.url.as_str()), (None, "http://127.0.0.1:80"));
    assert_eq!(z.flags, ["--profile=nchan"]);
    assert_eq!(a.setup.as_deref(), Some("cd /folder && make a"));
}

#[test]
fn the_floor_is_first_and_last_and_the_others_change_places() {
    let contest = contest(TEXT).unwrap();
    assert_eq!(names(&contest.order(1)), ["bare", "z", "a", "bare"]);
    assert_eq!(names(&contest.order(2)), ["bare", "a", "z", "bare"]);
    assert_eq!(names(&contest.order(3)), names(&contest.order(1)));
    let open = Contest { floor: None, ..contest };
    assert_eq!(names(&open.order(2)), ["z", "a", "bare"]);
}

#[test]
fn the_command_line_adds_servers_and_replaces_those_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contest.toml");
    std::fs::write(&path, TEXT).unwrap();
    let named = ["z=./z --port {port} --x=y", "new=http://127.0.0.1:81"];
    let named = named.iter().map(|text| text.parse().unwrap()).collect();
    let contest = Contest::new(Some(&path), named).unwrap();
    assert_eq!(contest.names(), ["bare", "z", "a", "new"]);
    assert_eq!(contest.servers[1].spawn.as_deref(), Some("./z --port {port} --x=y"));
    assert_eq!(contest.servers[1].flags, ["--profile=nchan"], "its own plan stays");
    assert_eq!(contest.servers[3].spawn, None);
}

#[test]
fn a_choice_of_servers_keeps_the_floor() {
    let chosen = contest(TEXT).unwrap().only(&["a".to_owned()]).unwrap();
    assert_eq!(chosen.names(), ["bare", "a"]);
    let error = contest(TEXT).unwrap().only(&["b".to_owned()]).unwrap_err();
    assert!(error.contains("bare, z, a"), "{error}");
}

#[test]
fn what_cannot_be_compared_is_named() {
    for (text, word) in [
        ("", "nothing to compare"),
        ("rounds = 0\n[[server]]\nname = 'a'\nspawn = 'a'", "rounds 0"),
        ("floor = 'x'\n[[server]]\nname = 'a'\nspawn = 'a'", "\"x\""),
        ("[[server]]\nname = 'a'", "spawn or url"),
        ("[[server]]\nname = 'a'\nspwan = 'a'", "spwan"),
        ("[[server]]\nname='a'\nspawn='a'\n[[server]]\nname='a'\nspawn='b'", "two servers"),
        ("[plan]\nrate = { a = 1 }", "rate"),
    ] {
        let error = contest(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    for text in ["a", "=x", "a=", "a= "] {
        assert!(text.parse::<Server>().is_err(), "{text:?}");
    }
}
