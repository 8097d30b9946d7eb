//! What `/metrics` says, read by the rules of the Prometheus text format, version 0.0.4.

use std::collections::BTreeMap;

/// One page of metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Value by name and labels, as written: `name{label="x"}`.
    pub(crate) samples: BTreeMap<String, f64>,
    /// Help and type by name.
    pub(crate) families: BTreeMap<String, (String, String)>,
}

impl Metrics {
    /// Reads a page and holds it to its format.
    #[track_caller]
    pub(crate) fn read(page: &str) -> Metrics {
        let mut metrics = Metrics::default();
        let mut help = None;
        assert!(page.ends_with('\n'), "the last line has its end");
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').expect("`# HELP name text`");
                assert!(!text.trim().is_empty(), "{name} has no help");
                help = Some((name.to_owned(), text.to_owned()));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("`# TYPE name type`");
                let (helped, text) = help.take().expect("HELP stands before TYPE");
                assert_eq!(helped, name);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let known = metrics.families.insert(name.into(), (text, kind.into()));
                assert!(known.is_none(), "{name} is described twice");
            } else {
                metrics.sample(line);
            }
        }
        metrics
    }

    fn sample(&mut self, line: &str) {
        let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        let family = self.family(key);
        assert!(family.is_some(), "{key} has no HELP and TYPE before it");
        assert!(self.samples.insert(key.into(), value).is_none(), "{key} is given twice");
    }

    /// The name under which a sample is described.
    pub(crate) fn family(&self, key: &str) -> Option<&str> {
        let name = key.split('{').next().expect("a name");
        let bare = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|bare| self.families.get(*bare).is_some_and(|(_, kind)| kind == "histogram"));
        let name = bare.unwrap_or(name);
        self.families.get_key_value(name).map(|(name, _)| name.as_str())
    }

    /// The sum of a name over all its labels that contain `label`; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let of_name = |key: &str| key.split('{').next() == Some(name) && key.contains(label);
        self.samples.iter().filter(|(key, _)| of_name(key)).map(|(_, value)| value).sum()
    }
}
