//! Bytes ↔ rows: one message gives one row or one dead letter.
//!
//! | file | what is in it |
//! |---|---|
//! | `options` | [`options::JsonOptions`]: how oddities are judged |
//! | `rejection` | [`rejection::Reason`], [`rejection::Rejection`]: why a record is kept out |
//! | `text` | the lexical layer of JSON |
//! | `number` | numbers as written, converted exactly |
//! | `column` | columns that can take back a half-written row |
//! | `value` | one value into one column: the rules that JSON and CSV share |
//! | `json` | [`json::JsonDecoder`]: one message, one row |
//! | `csv` | [`csv::CsvDecoder`]: one record, one row |
//! | `record` | [`record::RecordReader`]: cuts files into lines or CSV records |
//! | `parquet` | lossless casts of typed rows to the declared columns |
//! | `dead_letter` | the schema and builder of dead letters |

pub(crate) mod column;
pub mod csv;
pub mod dead_letter;
pub mod json;
pub(crate) mod number;
pub mod options;
pub mod parquet;
pub mod record;
pub mod rejection;
pub(crate) mod text;
pub(crate) mod value;
