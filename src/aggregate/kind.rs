//! Which aggregates exist, over which types, with which result: the plain data that the planner
//! writes and the operators read.

use arrow::datatypes::DataType;

/// What is computed over the rows of a frame or window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateKind {
    /// COUNT(*) and COUNT(x): rows, or rows where x is not NULL.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    /// The value of the first row in the total order.
    FirstValue,
    /// The value of the last row in the total order.
    LastValue,
}

/// One aggregate call, its argument already a column of the step batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateSpec {
    pub kind: AggregateKind,
    /// Value column holding the argument; `None` for COUNT(*). FILTER is already folded in: the
    /// argument is NULL where the filter is not true (so COUNT(*) FILTER has an argument), except
    /// for FIRST_VALUE and LAST_VALUE, which count NULLs and use `filter`.
    pub argument: Option<usize>,
    /// Boolean value column; only rows where it is true count (FIRST_VALUE, LAST_VALUE only).
    pub filter: Option<usize>,
    /// COUNT, SUM, AVG, VAR and STDDEV over distinct values.
    pub distinct: bool,
    /// FIRST_VALUE and LAST_VALUE skip NULLs.
    pub ignore_nulls: bool,
    /// Type of the argument column (`Null` for COUNT(*)).
    pub input: DataType,
    /// Type of the result.
    pub output: DataType,
}
