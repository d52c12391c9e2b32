//! The same endpoint for the same key: rendezvous hashing with weights. Every endpoint draws a lot
//! for the key, and the highest lot wins, so that an endpoint that leaves gives up its own keys only,
//! and one that comes takes its share of everybody's.

use xxhash_rust::xxh3::xxh3_64;

/// What an endpoint draws lots with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointKey(u64);

impl EndpointKey {
    /// Of the endpoint of this name: the same on every replica and after every restart.
    pub fn of(name: &str) -> Self {
        EndpointKey(xxh3_64(name.as_bytes()))
    }
}

/// What a request is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey(u64);

impl RequestKey {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        RequestKey(xxh3_64(bytes))
    }
}

/// Which of the endpoints the key belongs to: its place among them. Each comes with its share.
pub fn highest(
    key: RequestKey,
    endpoints: impl Iterator<Item = (EndpointKey, f64)>,
) -> Option<usize> {
    let lots = endpoints.map(|(endpoint, share)| lot(key, endpoint, share));
    lots.enumerate().max_by(|(_, one), (_, two)| one.total_cmp(two)).map(|(place, _)| place)
}

/// An exponential variate with the share as its rate, turned round: the chance of being the highest
/// is the share of all shares.
fn lot(key: RequestKey, endpoint: EndpointKey, share: f64) -> f64 {
    // 52 bits, never 0 or 1.
    let uniform = ((mixed(key.0 ^ endpoint.0) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    share / -uniform.ln()
}

/// The finaliser of SplitMix64: all bits of the result depend on all bits of the argument.
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoints(weights: &[u32]) -> Vec<(EndpointKey, f64)> {
        let name = |at: usize| EndpointKey::of(&format!("10.0.0.{at}:9000"));
        weights.iter().enumerate().map(|(at, weight)| (name(at), f64::from(*weight))).collect()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let all = endpoints(&[1, 1, 2, 4]);
        let keys = 80_000;
        let mut got = [0u32; 4];
        for key in 0..keys {
            let key = RequestKey::of(format!("user-{key}").as_bytes());
            got[highest(key, all.iter().copied()).unwrap()] += 1;
        }
        for (got, weight) in got.into_iter().zip([1, 1, 2, 4]) {
            let due = keys * weight / 8;
            assert!(got.abs_diff(due) < due / 20, "{got} of {due}");
        }
        assert_eq!(highest(RequestKey::of(b"x"), std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn who_leaves_takes_nobody_elses_keys_away(
            weights in proptest::collection::vec(1u32..9, 2..9), leaver in 0usize..8, key in any::<u64>(),
        ) {
            let all = endpoints(&weights);
            let leaver = leaver % all.len();
            let key = RequestKey::of(&key.to_be_bytes());
            let before = all[highest(key, all.iter().copied()).unwrap()].0;
            let mut rest = all.clone();
            let gone = rest.remove(leaver).0;
            let after = rest[highest(key, rest.iter().copied()).unwrap()].0;
            prop_assert!(before == gone || before == after);
        }
    }
}
