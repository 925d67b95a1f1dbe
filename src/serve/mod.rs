//! HTTP.
//!
//! | file | what is in it |
//! |---|---|
//! | `engine` | the [`engine::Engine`] trait: what HTTP asks of a running engine |
//! | `json` | answers and errors as JSON |
//! | `routes` | paths → calls of the engine |
//! | `guard` | which Host and Origin may ask |
//! | `server` | [`server::Server`]: accepts, limits, drains |
//! | `client` | what `skewless get` and `status` ask the running engine with |

pub mod client;
pub mod engine;
pub mod guard;
pub mod json;
pub mod routes;
pub mod server;
