//! From one process to the next, and what the service manager is told.

mod activation;
mod hand_over;
mod notify;
mod sockets;

pub(crate) use activation::from_service_manager;
pub(crate) use hand_over::{Heir, Predecessor, was_go_between};
pub(crate) use notify::{tell, with_main_pid};
pub(crate) use sockets::{Inherited, ListeningSocket, bind};
