//! Examples, schema, README and deployment files agree with the code and with each other.

mod schema_check;

use proptest::prelude::*;
use schema_check::{conforms, each_key};
use serde_json::Value as Json;
use serinus_config::{parse, schema};
use std::collections::BTreeSet;
use std::path::Path;

const EXAMPLES: [(&str, &str); 7] = [
    ("minimal.toml", include_str!("../examples/minimal.toml")),
    ("canary.toml", include_str!("../examples/canary.toml")),
    ("observe.toml", include_str!("../examples/observe.toml")),
    ("full.toml", include_str!("../examples/full.toml")),
    ("contract.toml", include_str!("contract.toml")),
    ("edge.toml", include_str!("../examples/edge.toml")),
    ("acme.toml", include_str!("../examples/acme.toml")),
];

const README: &str = include_str!("../README.md");

fn to_json(text: &str) -> Json {
    match toml::from_str::<toml::Table>(text) {
        Ok(table) => serde_json::json!(table),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_example_is_right_and_free_of_warnings() {
    for (name, text) in EXAMPLES {
        match parse(text, Path::new(name)) {
            Ok(settings) => assert_eq!(settings.warnings, [""; 0], "{name}"),
            Err(errors) => panic!("{errors}"),
        }
    }
}

#[test]
fn every_example_conforms_to_the_schema() {
    for (name, text) in EXAMPLES {
        conforms(&to_json(text), &schema(), name).unwrap();
    }
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    for (wrong, why) in [
        ("threads = 0\n", "has an unknown key"),
        ("[server]\nthreads = -1\n", "is too small"),
        ("[server]\ngrace_period = \"5 parsecs\"\n", "does not match"),
        ("[log]\naccess = \"yes\"\n", "is no boolean"),
        ("[learning]\nenabled = 1\n", "is no boolean"),
        ("[service.x.canary]\nendpoints = [\"a:1\"]\n", "lacks 'stable'"),
        (
            "[service.x]\nstable = { endpoints = [\"a:1\"] }\nrollout = { mode = \"try\" }\n",
            "is no choice",
        ),
    ] {
        let text = format!("{wrong}{}", EXAMPLES[0].1);
        let said = conforms(&to_json(&text), &schema(), "file").unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn the_full_example_has_every_key() {
    let mut keys = BTreeSet::new();
    each_key(&schema(), "", &mut |_, name, _| {
        keys.insert(name.to_owned());
    });
    let full = EXAMPLES[3].1;
    for key in keys {
        let written = [format!("{key} = "), format!(".{key}"), format!("[{key}")];
        assert!(written.iter().any(|written| full.contains(written)), "full.toml lacks '{key}'");
    }
}

/// The sections of the README by the table in their heading, with their rows as `(key, default)`.
fn readme_rows(section: &str) -> Vec<(&'static str, &'static str)> {
    let heads = [format!("`[{section}]`"), format!("`[[{section}]]`")];
    README
        .split("\n##")
        .filter(|part| {
            part.lines().next().is_some_and(|title| heads.iter().any(|head| title.contains(head)))
        })
        .flat_map(str::lines)
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect()
}

#[test]
fn the_readme_tells_every_key_and_its_default() {
    let schema = schema();
    let mut seen = 0;
    let mut tables = Vec::new();
    each_key(&schema, "", &mut |section, name, _| {
        tables.push((section.to_owned(), name.to_owned()))
    });
    each_key(&schema, "", &mut |section, name, property| {
        let below = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        // A table with keys of its own has a heading instead of a row.
        let is_table = tables.iter().any(|(table, _)| table.starts_with(&below));
        if is_table
            && !(readme_rows(&below).is_empty() && readme_rows(&format!("{below}.NAME")).is_empty())
        {
            return;
        }
        let rows = readme_rows(section);
        let Some((_, default)) = rows.iter().find(|(key, _)| *key == name) else {
            panic!("README.md does not tell of '{name}' in [{section}]: {rows:?}");
        };
        let required = property["x-required"] == true;
        let expect = match &property["default"] {
            _ if required => "required".to_owned(),
            Json::Null => "none".to_owned(),
            Json::Object(_) => "none".to_owned(),
            Json::Array(list) => {
                let items: Vec<String> = list.iter().map(Json::to_string).collect();
                format!("`[{}]`", items.join(", "))
            }
            value => format!("`{value}`"),
        };
        assert_eq!(*default, expect, "default of '{name}' in [{section}]");
        seen += 1;
    });
    assert!(seen > 60, "{seen}");
}

#[test]
fn the_readme_has_no_key_that_is_none() {
    let mut known = BTreeSet::new();
    each_key(&schema(), "", &mut |section, name, _| {
        known.insert((section.to_owned(), name.to_owned()));
    });
    let sections: BTreeSet<&String> = known.iter().map(|(section, _)| section).collect();
    for section in sections {
        for (key, _) in readme_rows(section) {
            assert!(known.iter().any(|(_, name)| name == key), "[{section}] has no '{key}'");
        }
    }
}

#[test]
fn alerts_and_dashboard_use_metrics_that_there_are() {
    let known = [
        "serinus_requests_total",
        "serinus_request_duration_seconds",
        "serinus_rollout_phase",
        "serinus_rollout_weight_ratio",
        "serinus_rollouts_total",
        "serinus_withdrawn",
        "serinus_shielded_requests_total",
        "serinus_anomaly_score",
        "serinus_failure_probability",
        "serinus_probe_runs_total",
        "serinus_probe_duration_seconds",
        "serinus_upstream_cpu_seconds_per_request",
        "serinus_upstream_memory_bytes",
        "serinus_endpoint_panic",
        "serinus_refused_requests_total",
        "serinus_config_last_reload_success",
        "serinus_certificate_expiry_timestamp_seconds",
        "serinus_acme_failures",
        "serinus_build_info",
    ];
    let dashboard = include_str!("../deploy/grafana-dashboard.json");
    let panels: Json = serde_json::from_str(dashboard).unwrap();
    assert!(panels["panels"].as_array().unwrap().len() > 10);
    let metric = regex::Regex::new("serinus_[a-z_]+").unwrap();
    let mut used = BTreeSet::new();
    for file in [dashboard, include_str!("../deploy/prometheus-rules.yml")] {
        used.extend(metric.find_iter(file).map(|found| found.as_str()));
    }
    for name in used {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(known.contains(&base.unwrap_or(name)), "there is no metric '{name}'");
    }
}

/// One change to the bytes of a file.
#[derive(Debug, Clone)]
enum Edit {
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Delete(usize, usize),
    /// Copies a piece of another example.
    Graft(usize, usize, usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0usize..10_000;
    let bits = prop::sample::select(vec![
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        "\n",
        "#",
        "{{",
        "}}",
        "'''",
        "\\",
        "-",
        "nan",
        "1e999",
        "ß",
        "\u{feff}",
        "\0",
        "\r\n",
        "*",
        "999999999999999999999",
        "[[",
        "..",
        "true",
    ]);
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (at.clone(), bits).prop_map(|(at, bit)| Edit::Insert(at, bit.as_bytes().to_vec())),
        (at.clone(), prop::collection::vec(any::<u8>(), 1..4))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at.clone(), 1usize..40).prop_map(|(at, length)| Edit::Delete(at, length)),
        (at.clone(), 0usize..EXAMPLES.len(), at, 1usize..80)
            .prop_map(|(at, file, from, length)| Edit::Graft(at, file, from, length)),
    ]
}

fn apply(text: &mut Vec<u8>, edit: &Edit) {
    let place = |at: usize, text: &[u8]| at % (text.len() + 1);
    match edit {
        Edit::Replace(at, byte) => {
            let at = place(*at, text);
            if let Some(old) = text.get_mut(at) {
                *old = *byte;
            }
        }
        Edit::Insert(at, bytes) => {
            let at = place(*at, text);
            text.splice(at..at, bytes.iter().copied());
        }
        Edit::Delete(at, length) => {
            let at = place(*at, text);
            let end = (at + length).min(text.len());
            text.drain(at..end);
        }
        Edit::Graft(at, file, from, length) => {
            let source = EXAMPLES[*file].1.as_bytes();
            let from = place(*from, source);
            let piece = &source[from..(from + length).min(source.len())];
            let at = place(*at, text);
            text.splice(at..at, piece.iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_reported_in_its_own_lines_and_never_a_panic(
        file in 0..EXAMPLES.len(), edits in prop::collection::vec(edit(), 1..6)
    ) {
        let mut bytes = EXAMPLES[file].1.as_bytes().to_vec();
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        let text = String::from_utf8_lossy(&bytes);
        match parse(&text, Path::new("damaged.toml")) {
            Ok(settings) => {
                // Routes were checked: this is where a conflict would panic.
                settings.plan();
                let verdict = conforms(&to_json(&text), &schema(), "damaged");
                prop_assert!(verdict.is_ok(), "the schema is stricter than the parser: {verdict:?}");
            }
            Err(errors) => {
                prop_assert!(!errors.errors.is_empty());
                let lines: Vec<&str> = text.split('\n').collect();
                for error in &errors.errors {
                    let line = lines.get(error.line - 1).copied();
                    let length = line.map(|line| line.chars().count());
                    prop_assert!(length.is_some_and(|length| error.column <= length + 1), "{errors}");
                    prop_assert!(!error.message.is_empty() && !error.help.is_empty(), "{errors}");
                }
                let told = errors.to_string().matches(" = help: ").count();
                prop_assert!(told >= errors.errors.len(), "{errors}");
            }
        }
    }
}
