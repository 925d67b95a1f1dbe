//! The one table of aggregates: names, arguments, results, what DISTINCT and the total order have
//! to do with them, and a line of documentation. The planner, the DataFusion functions, SHOW
//! FUNCTIONS, completion and `docs/sql-reference.md` are derived from it.

mod features;
mod usual;

use super::kind::AggregateKind as K;

/// What a column argument may be, and what it is widened to before it is aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Anything, as it is.
    Any,
    /// Numbers, text, bytes, booleans, dates and times: what MIN compares.
    Ordered,
    /// Numbers, widened without rounding: BIGINT, unsigned BIGINT, DOUBLE or DECIMAL.
    Number,
    /// Numbers as DOUBLE; integers beyond 2^53 and decimals are rounded to it.
    Double,
    /// REAL and DECIMAL as they are, other numbers as DOUBLE.
    Fractional,
    /// REAL as it is, other numbers as DOUBLE.
    Float,
    Integer,
    Boolean,
    Text,
    /// TIMESTAMP; in a feature it may be left out and is the event time.
    Time,
}

/// A constant argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// Between 0 and 1.
    Fraction,
    /// At least 1.
    Count,
    /// A whole number, not 0.
    Place,
    /// A finite number above 0.
    Positive,
    Text,
    /// A value of the first argument's type, or NULL.
    Value,
    /// One or more ascending finite numbers.
    Edges,
}

/// The type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    Whole,
    Unsigned,
    Double,
    /// The type of the first (widened) argument.
    First,
    /// As the contract has it for SUM and AVG.
    Sum,
    Mean,
    Boolean,
    Text,
    /// A list of the first argument.
    List,
    Counts,
    /// A map from the last column argument to BIGINT, SUM, AVG or the first argument.
    CountsBy,
    SumsBy,
    MeansBy,
    FirstsBy,
}

/// How the result follows from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// From exact sums: rows are added and taken back.
    Sums,
    /// From the values in their order of size.
    Ranks,
    /// From the rows in the total order; NULLs count, IGNORE NULLS leaves them out.
    Rows,
    /// From the rows that are not NULL, in the total order.
    Values,
    /// From the rows that are not NULL, whatever their order.
    Bag,
    /// From counts that rows add to and are taken back from.
    Counts,
}

/// One aggregate.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub kind: K,
    /// Its own name first, as DataFusion knows it.
    pub names: &'static [&'static str],
    pub arguments: &'static [Takes],
    pub constants: &'static [Constant],
    /// How many of the constants may be left out, from the last.
    pub optional: usize,
    pub gives: Gives,
    pub law: Law,
    /// Whether DISTINCT changes anything (`Some(true)`), nothing, or is refused (`None`).
    pub distinct: Option<bool>,
    /// How it is written.
    pub usage: &'static str,
    pub doc: &'static str,
}

const fn function(
    kind: K,
    names: &'static [&'static str],
    arguments: &'static [Takes],
    gives: Gives,
    law: Law,
    usage: &'static str,
    doc: &'static str,
) -> Function {
    let (constants, distinct): (&[Constant], _) = (&[], None);
    Function { kind, names, arguments, constants, optional: 0, gives, law, distinct, usage, doc }
}

impl Function {
    const fn with(mut self, constants: &'static [Constant], optional: usize) -> Self {
        self.constants = constants;
        self.optional = optional;
        self
    }

    const fn distinct(mut self, changes: bool) -> Self {
        self.distinct = Some(changes);
        self
    }

    /// Whether the call counts NULLs and takes IGNORE NULLS.
    pub fn counts_nulls(&self) -> bool {
        self.law == Law::Rows
    }

    /// Whether the result depends on the total order.
    pub fn is_ordered(&self) -> bool {
        matches!(self.law, Law::Rows | Law::Values)
    }

    /// Whether its last argument may be left out in a feature: it is the event time.
    pub fn ends_in_time(&self) -> bool {
        self.arguments.last() == Some(&Takes::Time)
    }
}

/// What is known of an aggregate that the program around has registered.
pub static OWN: Function = function(
    K::Own,
    &["an aggregate of your own"],
    &[Takes::Any],
    Gives::First,
    Law::Bag,
    "it as it was registered",
    "registered by the program",
);

/// All of them but [`OWN`], in the order of [`K`].
pub static TABLE: &[Function] = &joined();

const COUNT: usize = usual::USUAL.len() + features::FEATURES.len();

const fn joined() -> [Function; COUNT] {
    let mut all = [usual::USUAL[0]; COUNT];
    let mut at = 1;
    while at < COUNT {
        all[at] = match at < usual::USUAL.len() {
            true => usual::USUAL[at],
            false => features::FEATURES[at - usual::USUAL.len()],
        };
        at += 1;
    }
    all
}
