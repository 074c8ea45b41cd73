//! The API of a running switch: gRPC on a unix socket that only its owner may open.
//!
//! [`serve`] answers clients through a [`Handle`], which asks the control loop; [`Client`] asks. The messages
//! (`proto/weft/v1/switch.proto`) mirror what is in [`report`](crate::report) field by field.

mod client;
mod convert;
mod server;
mod socket;
mod watches;

pub use client::{Captures, Client, ClientError, Incoming, Traces, Version};
pub use convert::Malformed;
pub use server::{Answer, Handle, Proposal, Request, RequestError, Requests, ServeError, channel, serve};
pub use socket::{Socket, SocketError};

/// What the compiler of the API's description makes of it.
mod v1 {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("weft.v1");
}
