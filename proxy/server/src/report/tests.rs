use super::*;
use crate::control::journal::tests::record;
use serinus_models::Timestamp;
use serinus_rollout::Phase;

fn entry(id: u64, kind: RecordKind, at: u64) -> Entry {
    let mut record = record(id, kind, Phase::Progressing);
    record.at = Timestamp(at);
    Entry { id, record }
}

fn course(entries: Vec<Entry>) -> Course {
    let span = (Timestamp(1_000), Timestamp(60_000));
    Course { moments: vec![], entries, span, missing: None }
}

#[test]
fn a_page_is_complete_and_loads_nothing() {
    let withdrawn = entry(4, RecordKind::Withdrawn, 30_000);
    let back = entry(5, RecordKind::RolledBack, 40_000);
    let page = html(&back, &course(vec![withdrawn, back.clone()]));
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(page.matches("<svg ").count(), page.matches("</svg>").count());
    assert!(
        page.contains(">withdrawn<") && page.contains(">rolled back (this decision)<"),
        "{page}"
    );
    for foreign in ["<script", "http://127", "https://", "url(", "<link", " src="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_upstreams_and_operators_write_stays_text() {
    let mut odd = entry(4, RecordKind::RolledBack, 30_000);
    odd.record.text = "</style><script>alert(1)</script>".to_owned();
    odd.record.service = Some("<img src=x onerror=alert(1)>".into());
    let page = html(&odd, &course(vec![]));
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
}

#[test]
fn without_looks_the_words_are_there_and_say_so() {
    let back = entry(5, RecordKind::RolledBack, 40_000);
    let gone = Course { missing: Some("the looks are gone".into()), ..course(vec![]) };
    let page = html(&back, &gone);
    assert!(page.contains("nothing to draw: the looks are gone") && !page.contains("<figure>"));
}
