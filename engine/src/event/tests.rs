//! What an encoded event must be, whatever a publisher gives.

use super::*;

fn id(sequence: u64) -> EventId {
    EventId { epoch: Epoch::new(0xabc), sequence }
}

fn event<'a>(data: &'a str) -> Event<'a> {
    Event { topic: "t", data, ..Event::default() }
}

fn wire(event: &Event<'_>, sequence: u64) -> String {
    let frame = event.encode().expect("valid").number(id(sequence), 0);
    String::from_utf8(frame.wire().to_vec()).expect("UTF-8")
}

/// The reader of WHATWG HTML 9.2.6, in its plainest form: (id, event, data) of each dispatch.
fn read(stream: &str) -> Vec<(String, String, String)> {
    let unified = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut id, mut name, mut data) = (String::new(), String::new(), String::new());
    let mut seen = Vec::new();
    for line in unified.split_terminator('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if let Some(data) = data.strip_suffix('\n') {
                    seen.push((id.clone(), name.clone(), data.to_owned()));
                }
                name.clear();
                data.clear();
            }
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            "event" => name = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    seen
}

#[test]
fn an_event_is_its_id_its_fields_and_its_data() {
    assert_eq!(wire(&event("hello"), 7), "id: 000000000abc-7\ndata: hello\n\n");
    let full = Event { event: Some("tick"), id: Some("own"), retry: Some(1500), ..event("a\nb") };
    assert_eq!(wire(&full, 7), "id: own\nevent: tick\nretry: 1500\ndata: a\ndata: b\n\n");
    assert_eq!(wire(&event(""), 1), "id: 000000000abc-1\ndata: \n\n");
}

#[test]
fn a_reader_gets_back_every_short_mix_of_line_ends_and_field_syntax() {
    const ALPHABET: [&str; 9] = ["\r", "\n", "x", ":", " ", "data", "\u{feff}", "\u{2028}", "\0"];
    for length in 0..5u32 {
        for number in 0..ALPHABET.len().pow(length) {
            let mut number = number;
            let mut data = String::new();
            for _ in 0..length {
                data.push_str(ALPHABET[number % ALPHABET.len()]);
                number /= ALPHABET.len();
            }
            let expected = data.replace("\r\n", "\n").replace('\r', "\n");
            let seen = read(&wire(&event(&data), 3));
            assert_eq!(seen, [("000000000abc-3".into(), String::new(), expected)], "{data:?}");
        }
    }
}

#[test]
fn fields_that_would_break_a_line_are_refused() {
    for bad in ["a\nb", "a\rb", "a\0b"] {
        let mut with = event("x");
        with.event = Some(bad);
        assert_eq!(with.encode().unwrap_err(), EventError::Name);
        let mut with = event("x");
        with.id = Some(bad);
        assert_eq!(with.encode().unwrap_err(), EventError::Id);
        let mut with = event("x");
        with.topic = bad;
        assert_eq!(with.encode().unwrap_err(), EventError::Topic);
    }
}

#[test]
fn bounds_hold_at_the_bound_and_not_beyond() {
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let mut with = event("x");
    with.event = Some(&long[1..]);
    assert!(with.encode().is_ok());
    with.event = Some(&long);
    assert_eq!(with.encode().unwrap_err(), EventError::Name);
    let mut with = event("x");
    with.id = Some("");
    assert_eq!(with.encode().unwrap_err(), EventError::Id);
    with.id = Some(&long);
    assert_eq!(with.encode().unwrap_err(), EventError::Id);
    for (retry, allowed) in [(0, false), (1, true), (RETRY_MS_MAX, true), (RETRY_MS_MAX + 1, false)]
    {
        let mut with = event("x");
        with.retry = Some(retry);
        assert_eq!(with.encode().is_ok(), allowed, "{retry}");
    }
    assert!(is_topic(&"t".repeat(TOPIC_BYTES_MAX)));
    assert!(!is_topic(&"t".repeat(TOPIC_BYTES_MAX + 1)));
    assert!(!is_topic(""));
}

#[test]
fn names_and_ids_of_the_engine_are_reserved() {
    let mut with = event("x");
    with.event = Some("gap");
    assert_eq!(with.encode().unwrap_err(), EventError::NameReserved);
    let mut with = event("x");
    with.id = Some("0123456789ab-7");
    assert_eq!(with.encode().unwrap_err(), EventError::IdReserved);
    with.id = Some("0123456789AB-7");
    assert!(with.encode().is_ok());
}

#[test]
fn an_id_has_one_spelling() {
    for sequence in [0, 1, 9, 10, 1 << 40, u64::MAX] {
        let id = id(sequence);
        assert_eq!(id.to_string().parse(), Ok(id));
        let frame = event("x").encode().unwrap().number(id, 0);
        assert!(frame.wire().starts_with(format!("id: {id}\n").as_bytes()));
    }
    for bad in [
        "",
        "-",
        "000000000abc",
        "000000000abc-",
        "000000000abc-07",
        "000000000ABC-7",
        "00000000abc-7",
        "000000000abc-+7",
        "000000000abc-18446744073709551616",
        "earliest",
    ] {
        assert_eq!(bad.parse::<EventId>(), Err(NotAnEventId), "{bad}");
    }
}

#[test]
fn a_frame_knows_its_topic_and_its_own_id() {
    let mut with = event("x");
    with.topic = "räume/42";
    with.id = Some("urn:uuid:1");
    let draft = with.encode().unwrap();
    assert_eq!(draft.topic(), "räume/42");
    let frame = draft.number(id(5), 9);
    assert_eq!(frame.topic(), "räume/42");
    assert_eq!(frame.own_id(), Some("urn:uuid:1"));
    assert_eq!(frame.wire(), b"id: urn:uuid:1\ndata: x\n\n");
    assert_eq!(&frame.wire_from(4)[..], &frame.wire()[4..]);
    assert_eq!(event("x").encode().unwrap().number(id(5), 9).own_id(), None);
}

#[test]
fn in_mercures_form_the_id_is_a_urn_behind_name_and_retry() {
    let mercure = Event { form: Form::Mercure, ..event("a\nb") };
    let urn = "urn:uuid:00000000-0abc-8000-8000-000000000007";
    assert_eq!(wire(&mercure, 7), format!("id: {urn}\ndata: a\ndata: b\n\n"));
    let full = Event { event: Some("id: x"), retry: Some(5), private: true, ..mercure };
    let text = wire(&full, 7);
    assert_eq!(text, format!("event: id: x\nretry: 5\nid: {urn}\ndata: a\ndata: b\n\n"));
    let own = Event { id: Some("event: y"), ..full };
    assert_eq!(wire(&own, 7), text.replace(urn, "event: y"));
    assert_eq!(own.encode().unwrap().own_id(), Some("event: y"));
    assert_eq!(own.encode().unwrap().number(id(7), 1).own_id(), Some("event: y"));
    assert_eq!(full.encode().unwrap().own_id(), None);
}

#[test]
fn a_urn_is_read_back_and_has_one_spelling() {
    for epoch in [0, 1, 0xabc, 0xffff_ffff_ffff] {
        for sequence in [0, 1, u64::MAX >> 2, 1 << 62, 1 << 63, u64::MAX - 1, u64::MAX] {
            let id = EventId { epoch: Epoch::new(epoch), sequence };
            let urn = id.urn().to_string();
            assert_eq!((urn.len(), urn.parse()), (45, Ok(id)), "{urn}");
            // Version 8 and the variant of RFC 9562.
            assert_eq!(&urn[23..24], "8");
            assert!("89ab".contains(&urn[28..29]), "{urn}");
        }
    }
    let urn = id(7).urn().to_string();
    for at in 0..urn.len() {
        let mut other = urn.clone().into_bytes();
        other[at] = if other[at] == b'f' { b'e' } else { b'f' };
        let other = String::from_utf8(other).unwrap();
        let read = other.parse::<EventId>();
        assert_ne!(read, Ok(id(7)), "{other}");
        assert!(read.is_err() || read.unwrap().urn().to_string() == other, "{other}");
    }
    let upper = urn.to_uppercase().replace("URN:UUID", "urn:uuid");
    for bad in [
        &urn[..44],
        &format!("{urn}0"),
        &upper,
        "urn:uuid:",
        "00000000-0abc-8000-8000-000000000007",
    ] {
        assert_eq!(bad.parse::<EventId>(), Err(NotAnEventId), "{bad}");
    }
    // A hub may pass on what another hub has given.
    let passed_on = Event { id: Some(&urn), form: Form::Mercure, ..event("x") };
    assert!(passed_on.encode().is_ok());
}

#[test]
fn a_frame_knows_all_its_topics_and_whether_it_is_private() {
    for form in [Form::Native, Form::Mercure] {
        for own in [None, Some("own")] {
            for alternates in [&[][..], &["b"], &["a", "c\u{e9}", "b", "b", "c\u{e9}"]] {
                for private in [false, true] {
                    let with =
                        Event { topic: "a", alternates, private, form, id: own, ..event("x") };
                    let draft = with.encode().unwrap();
                    let expected: Vec<&str> = match alternates.len() {
                        0 => vec!["a"],
                        1 => vec!["a", "b"],
                        _ => vec!["a", "c\u{e9}", "b"],
                    };
                    assert_eq!(draft.topics().collect::<Vec<_>>(), expected);
                    assert_eq!(draft.is_private(), private);
                    let bound = draft.wire_bytes_max();
                    let frame = draft.number(id(u64::MAX), 1);
                    assert_eq!(frame.topics().collect::<Vec<_>>(), expected);
                    assert_eq!(frame.alternates().count(), expected.len() - 1);
                    assert_eq!(frame.has_alternates(), expected.len() > 1);
                    assert_eq!((frame.is_private(), frame.own_id()), (private, own));
                    assert!(frame.wire().len() <= bound);
                    assert!(frame.wire().ends_with(b"data: x\n\n"));
                    assert!(frame.wire().starts_with(b"id: "));
                }
            }
        }
    }
}

#[test]
fn alternates_are_bounded_in_number_and_bytes() {
    let names: Vec<String> = (0..=ALTERNATES_MAX).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fn with(alternates: &[&str]) -> Result<(), EventError> {
        Event { alternates, form: Form::Mercure, ..event("x") }.encode().map(|_| ())
    }
    assert_eq!(with(&names[1..]), Ok(()));
    assert_eq!(with(&names), Err(EventError::Alternates));
    let long = "t".repeat(LONG_TOPIC_BYTES_MAX);
    assert_eq!(with(&[&long[1..], &long[2..], &long[3..]]), Ok(()));
    assert_eq!(with(&[&long[1..], &long[2..], &long[3..], &long[4..]]), Ok(()));
    assert_eq!(with(&[long.as_str(); 4]), Err(EventError::Alternates));
    assert_eq!(with(&["", "a\nb"]), Ok(()), "any text is a topic there");
    let longer = format!("{long}t");
    assert_eq!(with(&[&longer]), Err(EventError::LongTopic));
    let native = Event { alternates: &[&long], ..event("x") };
    assert_eq!(native.encode().unwrap_err(), EventError::Topic);
}
