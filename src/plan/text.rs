//! The canonical text of an expression: what EXPLAIN prints and fingerprints hash. Independent of
//! how DataFusion prints, so that an upgrade does not change fingerprints.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{Expr, Operator};

use super::checked::{Checked, Operation};
use crate::model::time::format_duration;
use crate::sql::printer::name_text;
use crate::sql::types::type_name;

/// The text of `expr`; `column` gives the text of columns it knows better names for.
pub fn text(expr: &Expr, column: &dyn Fn(&datafusion::common::Column) -> Option<String>) -> String {
    Printer { column }.print(expr, false)
}

struct Printer<'a> {
    column: &'a dyn Fn(&datafusion::common::Column) -> Option<String>,
}

impl Printer<'_> {
    fn print(&self, expr: &Expr, nested: bool) -> String {
        let open = |text: String| if nested { format!("({text})") } else { text };
        let one = |e: &Expr| self.print(e, true);
        match expr {
            Expr::Alias(alias) => self.print(&alias.expr, nested),
            Expr::Column(column) => {
                (self.column)(column).unwrap_or_else(|| name_text(&column.name))
            }
            Expr::Literal(value, _) => literal(value),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => open(self.binary(left, *op, right)),
            Expr::Not(e) => open(format!("NOT {}", one(e))),
            Expr::Negative(e) => open(format!("-{}", one(e))),
            Expr::IsNull(e) => open(format!("{} IS NULL", one(e))),
            Expr::IsNotNull(e) => open(format!("{} IS NOT NULL", one(e))),
            Expr::IsTrue(e) => open(format!("{} IS TRUE", one(e))),
            Expr::IsFalse(e) => open(format!("{} IS FALSE", one(e))),
            Expr::IsUnknown(e) => open(format!("{} IS UNKNOWN", one(e))),
            Expr::IsNotTrue(e) => open(format!("{} IS NOT TRUE", one(e))),
            Expr::IsNotFalse(e) => open(format!("{} IS NOT FALSE", one(e))),
            Expr::IsNotUnknown(e) => open(format!("{} IS NOT UNKNOWN", one(e))),
            Expr::Cast(cast) => {
                format!(
                    "CAST({} AS {})",
                    self.print(&cast.expr, false),
                    type_text(cast.field.data_type())
                )
            }
            Expr::TryCast(cast) => {
                format!(
                    "TRY_CAST({} AS {})",
                    self.print(&cast.expr, false),
                    type_text(cast.field.data_type())
                )
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let not = if *negated { "NOT " } else { "" };
                open(format!("{} {not}BETWEEN {} AND {}", one(expr), one(low), one(high)))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let not = if *negated { "NOT " } else { "" };
                open(format!("{} {not}IN ({})", one(expr), self.list(list)))
            }
            Expr::Like(like) => open(self.like(like)),
            Expr::Case(case) => self.case(case),
            Expr::ScalarFunction(call) => self.function(call, nested),
            other => other.to_string(),
        }
    }

    fn list(&self, list: &[Expr]) -> String {
        list.iter().map(|e| self.print(e, false)).collect::<Vec<_>>().join(", ")
    }

    fn binary(&self, left: &Expr, op: Operator, right: &Expr) -> String {
        // a AND b AND c is one chain.
        let chained = |e: &Expr| {
            let same = matches!(e, Expr::BinaryExpr(inner) if inner.op == op);
            !(same && matches!(op, Operator::And | Operator::Or))
        };
        format!("{} {op} {}", self.print(left, chained(left)), self.print(right, true))
    }

    fn like(&self, like: &Like) -> String {
        let not = if like.negated { "NOT " } else { "" };
        let word = if like.case_insensitive { "ILIKE" } else { "LIKE" };
        let escape = like.escape_char.map_or_else(String::new, |c| format!(" ESCAPE '{c}'"));
        let (expr, pattern) = (self.print(&like.expr, true), self.print(&like.pattern, true));
        format!("{expr} {not}{word} {pattern}{escape}")
    }

    fn case(&self, case: &Case) -> String {
        let mut out = "CASE".to_owned();
        if let Some(operand) = &case.expr {
            out.push_str(&format!(" {}", self.print(operand, true)));
        }
        for (when, then) in &case.when_then_expr {
            let (when, then) = (self.print(when, false), self.print(then, false));
            out.push_str(&format!(" WHEN {when} THEN {then}"));
        }
        if let Some(otherwise) = &case.else_expr {
            out.push_str(&format!(" ELSE {}", self.print(otherwise, false)));
        }
        out.push_str(" END");
        out
    }

    fn function(&self, call: &ScalarFunction, nested: bool) -> String {
        let open = |text: String| if nested { format!("({text})") } else { text };
        let checked = Checked::of(&call.func).map(|checked| &checked.operation);
        match (checked, call.args.as_slice()) {
            (Some(Operation::Binary(op)), [left, right]) => open(self.binary(left, *op, right)),
            (Some(Operation::Negative), [operand]) => {
                open(format!("-{}", self.print(operand, true)))
            }
            (Some(Operation::Cast(to)), [operand]) => {
                format!("CAST({} AS {})", self.print(operand, false), type_text(to))
            }
            (Some(Operation::Canonical), [operand]) => self.print(operand, nested),
            (_, args) => format!("{}({})", call.func.name(), self.list(args)),
        }
    }
}

fn literal(value: &ScalarValue) -> String {
    use ScalarValue as S;
    match value {
        _ if value.is_null() => "NULL".to_owned(),
        S::Boolean(Some(x)) => x.to_string().to_uppercase(),
        _ if value.data_type().is_integer() => value.to_string(),
        S::Float64(Some(x)) => format!("{x:?}"),
        S::Utf8(Some(x)) => format!("'{}'", x.replace('\'', "''")),
        S::TimestampMicrosecond(Some(us), _) => {
            format!("TIMESTAMP '{}'", crate::model::time::EventTime(*us))
        }
        S::IntervalMonthDayNano(Some(i)) => interval(i.months, i.days, i.nanoseconds),
        other => format!("{} '{other}'", type_text(&other.data_type())),
    }
}

fn interval(months: i32, days: i32, nanoseconds: i64) -> String {
    let mut parts = Vec::new();
    if months != 0 {
        parts.push(format!("{months} months"));
    }
    if days != 0 {
        parts.push(format!("{days} days"));
    }
    if nanoseconds % 1_000 != 0 {
        parts.push(format!("{nanoseconds} nanoseconds"));
    } else if nanoseconds != 0 || parts.is_empty() {
        parts.push(format_duration(nanoseconds / 1_000));
    }
    format!("INTERVAL '{}'", parts.join(" "))
}

/// The SQL name of a type, times with their unit where it is not microseconds.
fn type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => "TIMESTAMP(0)".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "TIMESTAMP(3)".to_owned(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "TIMESTAMP(9)".to_owned(),
        other => type_name(other),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn plain(expr: &Expr) -> String {
        text(expr, &|_| None)
    }

    #[test]
    fn text_reads_like_sql_and_keeps_structure() {
        let a = col("a").gt(lit(1i64)).and(col("b").eq(lit("it's"))).and(col("c").is_null());
        assert_eq!(plain(&a), "(a > 1) AND (b = 'it''s') AND (c IS NULL)");
        assert_eq!(plain(&(lit(1i64) - (col("a") - lit(2i64)))), "1 - (a - 2)");
        assert_eq!(plain(&col("\"Total Amount\"").lt_eq(lit(0.5))), "\"Total Amount\" <= 0.5");
    }

    #[test]
    fn literals_of_different_types_have_different_texts() {
        assert_ne!(plain(&lit(1i64)), plain(&lit(1.0)));
        assert_ne!(plain(&lit("1")), plain(&lit(1i64)));
    }
}
