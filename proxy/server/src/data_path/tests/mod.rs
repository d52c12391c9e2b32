//! The data path with real sockets against real upstreams.
