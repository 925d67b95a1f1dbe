//! The statements of skewless. Plain data made by `parser`, read by `catalog`, `plan` and `cli`.
//! Names are already folded: compare them as they are. Places are left out of comparisons, so
//! that equal statements are equal wherever they stand.

use std::ops::Range;

use arrow::datatypes::DataType;
use datafusion::sql::parser::CopyToStatement;
use sqlparser::ast::{Expr, Query};

use crate::error::Span;
use crate::model::time::format_duration;

/// Where a statement stands in the text it was read from.
#[derive(Clone, Debug)]
pub struct Place {
    /// Bytes, without the `;`.
    pub range: Range<usize>,
    pub span: Span,
}

impl PartialEq for Place {
    /// Always equal: where a statement stands does not change what it says.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A name of a source, feature or column: folded, without quotes.
pub type Name = Spanned<String>;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    CreateSource(Box<CreateSource>),
    CreateFeature(Box<CreateFeature>),
    Drop(DropObject),
    Show(Show),
    Describe(Describe),
    Explain(Explain),
    Query(QueryStatement),
    Copy(CopyTo),
}

impl Statement {
    pub fn place(&self) -> &Place {
        match self {
            Self::CreateSource(s) => &s.place,
            Self::CreateFeature(s) => &s.place,
            Self::Drop(s) => &s.place,
            Self::Show(s) => &s.place,
            Self::Describe(s) => &s.place,
            Self::Explain(s) => &s.place,
            Self::Query(s) => &s.place,
            Self::Copy(s) => &s.place,
        }
    }

    pub fn span(&self) -> Span {
        self.place().span
    }
}

/// `CREATE [OR REPLACE] SOURCE [IF NOT EXISTS] name (columns, WATERMARK …) WITH (options)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    pub name: Name,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub columns: Vec<SourceColumn>,
    pub watermark: Option<Watermark>,
    pub options: Vec<RawOption>,
    pub place: Place,
}

/// A column as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceColumn {
    pub name: Name,
    /// Always there for physical and metadata columns; computed ones may leave it out.
    pub data_type: Option<Spanned<DataType>>,
    pub not_null: bool,
    pub origin: ColumnOrigin,
}

/// Where a declared column gets its value from.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnOrigin {
    Physical,
    /// `AS (expression)`; the text is the printer's.
    Computed {
        expression: Spanned<Box<Expr>>,
        text: String,
    },
    /// `METADATA FROM 'field'`.
    Metadata(Spanned<String>),
}

/// `WATERMARK FOR column AS column [- INTERVAL …]`.
#[derive(Clone, Debug)]
pub struct Watermark {
    pub column: Name,
    /// >= 0.
    pub delay_us: i64,
    pub span: Span,
}

impl PartialEq for Watermark {
    fn eq(&self, other: &Self) -> bool {
        self.column == other.column && self.delay_us == other.delay_us
    }
}

impl Watermark {
    /// The delay as a person writes it: `30 seconds`.
    pub fn delay(&self) -> String {
        format_duration(self.delay_us)
    }
}

/// `'key' = 'value'`, the value as written (`${…}` unexpanded).
#[derive(Clone, Debug, PartialEq)]
pub struct RawOption {
    pub key: Spanned<String>,
    pub value: Spanned<String>,
}

/// `CREATE [OR REPLACE] FEATURE [VIEW] [IF NOT EXISTS] name [WITH (options)] AS SELECT …`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateFeature {
    pub name: Name,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub options: Vec<RawOption>,
    /// As parsed; see `window::normalise` for its windows.
    pub query: Box<Query>,
    /// The same, by the printer.
    pub query_text: String,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Source,
    Feature,
}

impl ObjectKind {
    /// The keyword in lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Feature => "feature",
        }
    }
}

/// `DROP SOURCE | FEATURE [IF EXISTS] name [CASCADE]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DropObject {
    pub kind: ObjectKind,
    pub name: Name,
    pub if_exists: bool,
    pub cascade: bool,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Show {
    pub what: ShowWhat,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ShowWhat {
    Sources,
    Tables,
    Features,
    Options,
    Functions,
    /// `SHOW CREATE [SOURCE | FEATURE] name`.
    Create {
        kind: Option<ObjectKind>,
        name: Name,
    },
}

/// `DESCRIBE [SOURCE | FEATURE] name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Describe {
    pub kind: Option<ObjectKind>,
    pub name: Name,
    pub place: Place,
}

/// `EXPLAIN [ANALYZE] [VERBOSE] statement`, `EXPLAIN FEATURE SELECT …`, `EXPLAIN FEATURE name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// Explain as the engine runs it: said with FEATURE, or the statement is CREATE FEATURE.
    pub feature: bool,
    pub analyze: bool,
    pub verbose: bool,
    pub target: ExplainTarget,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExplainTarget {
    /// A query or CREATE FEATURE.
    Statement(Box<Statement>),
    /// A feature that exists.
    Feature(Name),
}

/// A plain query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryStatement {
    pub query: Box<Query>,
    /// The same, by the printer.
    pub text: String,
    pub place: Place,
}

/// `COPY (SELECT …) TO 'x.parquet'`, for DataFusion.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyTo {
    pub statement: CopyToStatement,
    /// By the printer.
    pub text: String,
    pub place: Place,
}
