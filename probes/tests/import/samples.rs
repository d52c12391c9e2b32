//! Files as other tools write them: all are imported, what comes out passes `check`, and of a damaged one it is
//! said where and why. Where they come from: samples/README.md.

use crate::{checked, naming};
use serinus_probes::Recording;
use serinus_probes::import::{ImportError, Source, import};
use std::path::{Path, PathBuf};

const KINDS: [(&str, Source, usize); 3] =
    [("har", Source::Har, 21), ("recorder", Source::Recorder, 21), ("hurl", Source::Hurl, 22)];

/// What cannot be a probe, with what is said of it.
const REFUSED: [(&str, &str); 2] = [
    (
        "graphql.hurl",
        "line 2, column 1: write this GraphQL body as JSON: { \"query\": ... }, found ````graphql`",
    ),
    (
        "oneline-and-base64.hurl",
        "line 6, column 1: a body from a file or in binary cannot be imported, \
         found `base64,TG9yZW0gaXBzdW0=;`",
    ),
];

fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(file, _)| name.ends_with(&format!("/{file}"))).map(|(_, why)| *why)
}

/// Samples of a kind, each with its name.
fn samples(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/samples").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let named =
        |file: PathBuf| (file.display().to_string(), std::fs::read_to_string(&file).unwrap());
    files.into_iter().map(named).collect()
}

#[test]
fn every_sample_comes_out_as_a_probe_that_check_accepts() {
    let mut all = 0;
    for (folder, source, number) in KINDS {
        let samples = samples(folder);
        assert_eq!(samples.len(), number, "{folder}");
        for (name, text) in samples {
            if let Some(why) = refused(&name) {
                let said = import(source, &text, &naming()).unwrap_err().to_string();
                assert_eq!(said, why, "{name}");
                continue;
            }
            let imported =
                import(source, &text, &naming()).unwrap_or_else(|why| panic!("{name}: {why}"));
            let probe = checked(&imported).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(!probe.steps.is_empty(), "{name}");
            all += 1;
        }
    }
    assert!(all >= 60);
}

#[test]
fn of_a_damaged_sample_it_is_said_where_and_why() {
    for (folder, source, _) in KINDS {
        for (name, text) in samples(folder).into_iter().filter(|(name, _)| refused(name).is_none())
        {
            let (damaged, expected) = match source {
                // Cut off in the middle, as downloads are: it is missed at the end of what is there.
                Source::Har | Source::Recorder => {
                    let middle = (text.len() / 2..).find(|at| text.is_char_boundary(*at)).unwrap();
                    let damaged = text[..middle].to_owned();
                    (damaged.clone(), damaged.matches('\n').count() + 1)
                }
                // Something else between the lines.
                Source::Hurl => (format!("GET https://shop.example/\n]not hurl\n{text}"), 2),
            };
            match import(source, &damaged, &naming()) {
                Err(ImportError::Malformed { line, column, reason }) => {
                    assert_eq!(line, expected, "{name}: {reason}");
                    assert!(column > 0 && !reason.is_empty(), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// The same recordings as a browser plays them, whole.
#[test]
fn recordings_are_taken_by_the_browser_too_or_it_is_said_why_not() {
    for (name, text) in samples("recorder") {
        let said = Recording::parse(&text, false).err();
        let name = name.rsplit('/').next().unwrap();
        let expected = match name {
            "two-sites.json" => Some(
                "step 3 `navigate`: opens pay.example, another site: a run never leaves its own",
            ),
            "templates-in-text.json" => {
                Some("step 2 `navigate`: `x` is unknown: there are secret, row and random")
            }
            _ => None,
        };
        assert_eq!(said.as_deref(), expected, "{name}");
    }
}
