//! Whatever comes in, nothing panics, and what comes out is accepted.

use crate::{checked, har, hurl, naming, recorder};
use proptest::prelude::*;
use serinus_probes::import::{Source, import};

fn samples() -> [(Source, String); 3] {
    [
        (Source::Har, har::shop()),
        (Source::Recorder, recorder::LOGIN.to_owned()),
        (Source::Hurl, hurl::ORDER.to_owned()),
    ]
}

/// Bytes that mean something to one of the languages involved.
const SPICE: [&str; 14] =
    ["{{", "}}", "{%", "\"", "'", "\\", "\n", "[", "]", "null", "é", "\u{0}", "://", "```"];

fn survives(source: Source, text: &str) -> Result<(), TestCaseError> {
    let checked = import(source, text, &naming()).map(|imported| checked(&imported));
    if let Ok(Err(error)) = checked {
        return Err(TestCaseError::fail(error));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_files_are_refused_or_come_out_right(
        sample in 0usize..3,
        cuts in prop::collection::vec((0.0..1.0f64, 0usize..12, 0usize..SPICE.len()), 1..6),
    ) {
        let (source, text) = samples()[sample].clone();
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, spice) in cuts {
            let at = (at * chars.len() as f64) as usize;
            let end = (at + length).min(chars.len());
            chars.splice(at..end, SPICE[spice].chars());
        }
        survives(source, &chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn any_value_in_any_place_of_an_archive_comes_out_right(
        path in "[ -~é]{0,20}", name in "[ -~é]{0,12}", value in "[ -~é\n]{0,20}", mime in "application/json|text/plain|application/x-www-form-urlencoded|multipart/form-data",
    ) {
        let body = serde_json::json!({ name.clone(): value, "id": 3 }).to_string();
        let mut first = har::entry(1, "GET", &format!("https://shop.example/{path}"), 200, "application/json", &body);
        first["request"]["headers"] = serde_json::json!([{ "name": format!("x-{name}"), "value": value }]);
        let mut second = har::entry(2, "POST", &format!("https://shop.example/{value}"), 500, "text/html", &body);
        second["request"]["postData"] = serde_json::json!({ "mimeType": mime, "text": body });
        survives(Source::Har, &har::archive(vec![first, second]))?;
    }

    #[test]
    fn any_line_in_a_hurl_file_is_refused_or_comes_out_right(line in "[ -~]{0,40}", query in "(jsonpath|header|regex|body|cookie) \"[ -~]{0,12}\" (==|matches|contains|count|not exists|>) [ -~]{0,10}") {
        survives(Source::Hurl, &format!("POST http://shop.example/{line}\n{line}\nHTTP 200\n[Captures]\nx: {query}\n[Asserts]\n{query}\n"))?;
    }
}
