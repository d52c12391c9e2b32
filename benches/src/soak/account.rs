//! Whose a lost request is: the proxy's, unless an endpoint that was killed took it along, and there is
//! proof of that.
//!
//! | whose | proof |
//! |---|---|
//! | `in_hand` | an order (POST) that stood in the slots of an endpoint when that was dead |
//! | `in_its_socket` | an order that was under way while an endpoint died, and that no endpoint ever read |
//! | `cut_by_kill` | an answer that had begun, of an endpoint that died meanwhile |
//! | `taken_and_reset` | an order that a faulty canary took and closed its connection on, as it wrote down |
//! | `answered_by_endpoint` | not lost: an endpoint's own 500, in its own words |
//! | `lost` | everything else: above all every `GET` without an answer, for it can be asked again |

use super::endpoint::Kill;
use super::load::{Kind, Mishap, What};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long after an endpoint is gone a request may still be sent into a connection that it had: until
/// the worker has been told of its end by the kernel, on a machine that is busy.
const UNTIL_KNOWN: Duration = Duration::from_millis(100);

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// See the table.
    InHand,
    /// See the table.
    InItsSocket,
    /// See the table.
    CutByKill,
    /// See the table.
    TakenAndReset,
    /// See the table.
    AnsweredByEndpoint,
    /// See the table.
    Lost,
}

impl Whose {
    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Whose::InHand => "in_hand",
            Whose::InItsSocket => "in_its_socket",
            Whose::CutByKill => "cut_by_kill",
            Whose::TakenAndReset => "taken_and_reset",
            Whose::AnsweredByEndpoint => "answered_by_endpoint",
            Whose::Lost => "lost",
        }
    }
}

/// What the endpoints have written down.
#[derive(Debug, Default)]
pub struct Books {
    /// How often each order was carried out.
    pub orders: HashMap<u64, u32>,
    /// Requests that a faulty endpoint took and gave no answer to.
    pub resets: HashSet<u64>,
}

impl Books {
    /// Reads those of every endpoint that ever wrote into `folder`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn read(folder: &Path) -> std::io::Result<Books> {
        let mut books = Books::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("");
            if kind != "orders" && kind != "resets" {
                continue;
            }
            for number in fs::read_to_string(&path)?.lines().filter_map(|line| line.parse().ok()) {
                if kind == "resets" {
                    books.resets.insert(number);
                } else {
                    *books.orders.entry(number).or_insert(0) += 1;
                }
            }
        }
        Ok(books)
    }
}

/// Whose `mishap` is.
pub fn judge(mishap: &Mishap, kills: &[Kill], books: &Books) -> Whose {
    let meanwhile =
        |kill: &&Kill| mishap.sent <= kill.gone + UNTIL_KNOWN && mishap.ended >= kill.sent;
    let order = mishap.kind == Kind::Order;
    let number = mishap.number.to_string();
    match &mishap.what {
        What::Endpoint(_) => Whose::AnsweredByEndpoint,
        What::CutAnswer(_)
            if kills
                .iter()
                .filter(meanwhile)
                .any(|kill| mishap.endpoint.as_ref() == Some(&kill.endpoint)) =>
        {
            Whose::CutByKill
        }
        What::Proxy(502) if order => {
            let mut during = kills.iter().filter(meanwhile);
            if books.resets.contains(&mishap.number) {
                Whose::TakenAndReset
            } else if kills.iter().filter(meanwhile).any(|kill| kill.in_hand.contains(&number)) {
                Whose::InHand
            } else if during.next().is_some() && !books.orders.contains_key(&mishap.number) {
                Whose::InItsSocket
            } else {
                Whose::Lost
            }
        }
        _ => Whose::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn check(kind: Kind, what: What, sent: u64, written: bool, in_hand: &[&str], expect: Whose) {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let in_hand = in_hand.iter().map(|number| (*number).to_owned()).collect();
        let kill = Kill { endpoint: "a".to_owned(), sent: at(1_000), gone: at(1_010), in_hand };
        let mut books = Books::default();
        if written {
            books.orders.insert(7, 1);
        }
        let endpoint = matches!(what, What::CutAnswer(_)).then(|| "a".to_owned());
        let ended = at(sent + 30);
        let mishap = Mishap { number: 7, kind, sent: at(sent), ended, what, endpoint, before: 0 };
        assert_eq!(judge(&mishap, &[kill], &books), expect, "{mishap:?}");
    }

    #[test]
    fn what_a_killed_endpoint_took_along_is_its_own_and_nothing_else() {
        use What::{CutAnswer, Endpoint, NoAnswer, Proxy, Wrong};
        let cut = || CutAnswer("end".to_owned());
        check(Kind::Order, Proxy(502), 990, true, &["7"], Whose::InHand);
        check(Kind::Order, Proxy(502), 990, false, &[], Whose::InItsSocket);
        check(Kind::Order, Proxy(502), 1_050, false, &[], Whose::InItsSocket);
        // Carried out, and the answer lost although its endpoint was not in the middle of it.
        check(Kind::Order, Proxy(502), 990, true, &[], Whose::Lost);
        check(Kind::Order, Proxy(502), 1_200, false, &[], Whose::Lost);
        check(Kind::Order, Proxy(502), 900, false, &[], Whose::Lost);
        check(Kind::Order, Proxy(503), 990, false, &["7"], Whose::Lost);
        check(Kind::Item, Proxy(502), 990, false, &["7"], Whose::Lost);
        check(Kind::Large, cut(), 990, false, &["7"], Whose::CutByKill);
        check(Kind::Large, cut(), 1_200, false, &["7"], Whose::Lost);
        check(Kind::Item, NoAnswer("end".to_owned()), 990, false, &["7"], Whose::Lost);
        check(Kind::Item, Wrong("x".to_owned()), 990, false, &["7"], Whose::Lost);
        check(Kind::Item, Endpoint(500), 10, false, &[], Whose::AnsweredByEndpoint);
    }
}
