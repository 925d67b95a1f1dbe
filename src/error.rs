//! Errors by what the caller must do. Every room returns [`Result`]; only `cli` prints one.
//! An error says what was wrong, what was expected and, as the hint, what to do. A span, where
//! there is one, points into the SQL text; `sql::diagnostic` draws the caret.

use std::fmt;

/// What the caller must do about an error; also decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The statement or the arguments are wrong: correct them. Exit code 2.
    Usage,
    /// Meaningful, but refused or not built yet: write it another way. Exit code 2.
    NotSupported,
    /// The data is not what was declared: look at the file or topic named. Exit code 1.
    Data,
    /// Something outside does not answer: retry, or bring it up. Exit code 1.
    Unavailable,
    /// A budget is used up (memory, disk, queue): give more or ask for less. Exit code 1.
    Exhausted,
    /// Another engine owns this home: stop. Exit code 75.
    Fenced,
    /// Interrupted by the user. Exit code 130.
    Interrupted,
    /// A bug in skewless: report it. Exit code 70.
    Internal,
}

/// A stretch of SQL text, lines and columns counted from 1, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: (u64, u64),
    pub end: (u64, u64),
}

/// The one error type of the crate.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    message: String,
    hint: Option<String>,
    span: Option<Span>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, span: None }))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// For what the interface names and the code does not do yet: `not supported yet: …`.
    pub fn not_yet(what: impl fmt::Display) -> Self {
        Self::new(Kind::NotSupported, format!("not supported yet: {what}"))
    }

    /// For what is refused on purpose; `why` holds the reason, the hint the alternative.
    pub fn not_supported(why: impl fmt::Display) -> Self {
        Self::new(Kind::NotSupported, format!("not supported: {why}"))
    }

    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the span unless a more precise one is already there.
    pub fn with_span(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Puts `context: ` before the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    pub fn span(&self) -> Option<Span> {
        self.0.span
    }

    /// The process exit code for this kind.
    pub fn exit_code(&self) -> i32 {
        match self.0.kind {
            Kind::Usage | Kind::NotSupported => 2,
            Kind::Fenced => 75,
            Kind::Interrupted => 130,
            Kind::Internal => 70,
            Kind::Data | Kind::Unavailable | Kind::Exhausted => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as D;
        match error {
            D::External(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(inner) => Self::data(inner.to_string()),
            },
            D::Context(context, inner) => Self::from(*inner).context(context),
            D::Diagnostic(diagnostic, inner) => {
                let span = diagnostic.span.map(Span::from);
                let hint = diagnostic.helps.first().map(|h| h.message.clone());
                let mut own = Self::from(*inner);
                if let Some(span) = span {
                    own = own.with_span(span);
                }
                match hint {
                    Some(hint) => own.with_hint(hint),
                    None => own,
                }
            }
            D::Collection(mut all) if !all.is_empty() => Self::from(all.swap_remove(0)),
            D::ResourcesExhausted(message) => Self::new(Kind::Exhausted, message),
            D::NotImplemented(message) => Self::new(Kind::NotSupported, message),
            D::Internal(message) => Self::internal(message),
            D::ObjectStore(inner) => Self::from(*inner),
            D::IoError(inner) => Self::from(inner),
            D::Execution(message) => Self::data(message),
            D::ArrowError(inner, _) => Self::from(*inner),
            D::ParquetError(inner) => Self::data(inner.to_string()),
            D::Plan(message) => Self::usage(message),
            D::SQL(inner, _) => Self::usage(inner.to_string()),
            D::SchemaError(inner, _) => Self::usage(inner.to_string()),
            other => Self::usage(other.strip_backtrace()),
        }
    }
}

impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<datafusion::common::Span> for Span {
    fn from(span: datafusion::common::Span) -> Self {
        Self { start: (span.start.line, span.start.column), end: (span.end.line, span.end.column) }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(own) => *own,
                Err(inner) => Self::data(inner.to_string()),
            },
            other => Self::data(other.to_string()),
        }
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::data(error.to_string())
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => {
                Self::data(format!("no such file: {path}"))
            }
            other => Self::unavailable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::new(Kind::Exhausted, error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}
