//! HTTP.
//!
//! | file | what is in it |
//! |---|---|
//! | `engine` | the [`engine::Engine`] trait: what HTTP asks of a running engine |
//! | `json` | answers and errors as JSON |
//! | `routes` | paths → calls of the engine, and what holds for every request |
//! | `sql` | statements over HTTP |
//! | `feast` | Feast's request and response |
//! | `log` | the log of values served |
//! | `guard` | which Host and Origin may ask |
//! | `token` | bearer tokens |
//! | `tls` | certificates, both ends |
//! | `traffic` | requests counted |
//! | `exposition` | metrics as Prometheus text |
//! | `server` | [`server::Server`]: accepts, limits, drains |
//! | `fixture` | an engine for tests |
//! | `client` | what the commands ask the running engine with |

pub mod client;
pub mod engine;
pub mod exposition;
pub mod feast;
#[cfg(test)]
pub mod fixture;
pub mod guard;
pub mod json;
pub mod log;
pub mod routes;
pub mod server;
pub mod sql;
pub mod tls;
pub mod token;
pub mod traffic;
