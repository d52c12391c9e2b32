//! The engine over real sockets, against servers that the tests run themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code throughout: the configured exception covers only functions marked as tests"
)]

mod assertions;
mod builder;
mod captures;
mod cleanup;
mod faults;
mod inputs;
mod journeys;
mod kinds;
mod marks;
mod raw;
mod readme;
mod resources;
mod sameness;
mod scheduling;
mod shop;
mod tls;
