//! How stable behaves now, with its normal fluctuation.

/// Stable's behaviour.
#[derive(Debug, Clone, Default)]
pub struct BaselineProfile {}
