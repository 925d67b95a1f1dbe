//! Text → typed statements with spans, and back (parse∘print = identity).
//!
//! | file | what is in it |
//! |---|---|
//! | `guard` | limits before the parser sees anything; the thread with the big stack |
//! | `dialect` | what the tokenizer and the expression parser accept |
//! | `token` | tokens folded to one spelling, positions in the text |
//! | `ast` | the statements |
//! | `parser` | text → statements; queries and expressions alone |
//! | `create` | CREATE SOURCE and CREATE FEATURE |
//! | `refuse` | clauses of a query that would be parsed and then ignored |
//! | `types` | SQL type names ↔ Arrow types |
//! | `window` | group windows: every spelling → one |
//! | `interval` | constant intervals |
//! | `frame_clause` | EXCLUDE and MAXSIZE, in a form that the SQL parser takes |
//! | `session_clause` | SESSION(t PARTITION BY k, …), likewise |
//! | `options` | the one table of WITH options |
//! | `option_value` | the types of their values |
//! | `expand` | `${NAME}` in option values |
//! | `relations` | the names a query reads from |
//! | `printer` | statements → text: SHOW CREATE, `catalog.sql`; redaction of secrets |
//! | `diagnostic` | errors with the line and a caret; did you mean |

pub mod ast;
pub mod create;
pub mod diagnostic;
pub mod dialect;
pub mod expand;
pub mod frame_clause;
pub mod guard;
pub mod interval;
pub mod option_value;
pub mod options;
pub mod parser;
pub mod printer;
pub mod refuse;
pub mod relations;
pub mod session_clause;
pub mod token;
pub mod types;
pub mod window;
