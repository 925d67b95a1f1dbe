//! SQL type names ↔ Arrow types. The Arrow side is canonical: text is `Utf8`, bytes `Binary`,
//! timestamps µs UTC whatever their precision or zone, decimals `Decimal128`.
//! Called by `create` (reading) and `printer` and DESCRIBE (writing).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo};

use crate::error::{Error, Result, Span};
use crate::model::batch::timestamp_type;
use crate::sql::diagnostic::closest;

/// Digits of a decimal.
const DECIMAL_DIGITS_MAX: u64 = 38;

/// Names to suggest when a type is unknown.
const TYPE_NAMES: [&str; 21] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "VARCHAR",
    "TEXT",
    "STRING",
    "BYTEA",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "ARRAY",
    "UNSIGNED",
    "BOOL",
];

/// Names of other systems, and what to write instead.
const FOREIGN_NAMES: [(&str, &str); 14] = [
    ("timestamp_ltz", "TIMESTAMP"),
    ("timestamp_ntz", "TIMESTAMP"),
    ("long", "BIGINT"),
    ("short", "SMALLINT"),
    ("byte", "TINYINT"),
    ("number", "DECIMAL(p, s)"),
    ("money", "DECIMAL(p, s)"),
    ("serial", "BIGINT"),
    ("varbyte", "BYTEA"),
    ("object", "VARCHAR"),
    ("variant", "VARCHAR"),
    ("super", "VARCHAR"),
    ("varchar2", "VARCHAR"),
    ("epoch", "BIGINT, or TIMESTAMP with 'json.timestamp' = 'epoch_ms'"),
];

/// The Arrow type of a declared SQL type; `span` is where the type is written.
pub fn arrow_type(sql: &SqlType, span: Span) -> Result<DataType> {
    convert(sql).map_err(|error| error.with_span(span))
}

fn convert(sql: &SqlType) -> Result<DataType> {
    use SqlType as S;
    Ok(match sql {
        S::Boolean | S::Bool => DataType::Boolean,
        S::TinyInt(None) => DataType::Int8,
        S::SmallInt(None) | S::Int2(None) => DataType::Int16,
        S::Int(None) | S::Integer(None) | S::Int4(None) => DataType::Int32,
        S::BigInt(None) | S::Int8(None) => DataType::Int64,
        S::TinyIntUnsigned(None) => DataType::UInt8,
        S::SmallIntUnsigned(None) | S::Int2Unsigned(None) => DataType::UInt16,
        S::IntUnsigned(None) | S::IntegerUnsigned(None) | S::Int4Unsigned(None) => DataType::UInt32,
        S::BigIntUnsigned(None) | S::Int8Unsigned(None) => DataType::UInt64,
        S::Real | S::Float4 | S::Float(ExactNumberInfo::None) => DataType::Float32,
        S::Double(ExactNumberInfo::None) | S::DoublePrecision | S::Float8 => DataType::Float64,
        S::Float(_) | S::Double(_) => {
            return Err(Error::not_supported("a precision on a floating-point type")
                .with_hint("write REAL (32 bits) or DOUBLE (64 bits)"));
        }
        S::Decimal(digits) | S::Numeric(digits) | S::Dec(digits) => decimal(digits)?,
        S::Varchar(None) | S::CharacterVarying(None) | S::CharVarying(None) => DataType::Utf8,
        S::Text | S::String(None) => DataType::Utf8,
        S::Varchar(_)
        | S::CharacterVarying(_)
        | S::CharVarying(_)
        | S::String(_)
        | S::Char(_)
        | S::Character(_)
        | S::Nvarchar(_) => {
            return Err(Error::not_supported("a length on text: it would not be enforced")
                .with_hint("write VARCHAR"));
        }
        S::Bytea => DataType::Binary,
        S::Date => DataType::Date32,
        S::Timestamp(precision, _) if precision.unwrap_or(6) <= 9 => timestamp_type(),
        S::Array(element) => array(element)?,
        other => return Err(unknown(other)),
    })
}

fn decimal(digits: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match digits {
        ExactNumberInfo::PrecisionAndScale(p, s) => (*p, *s),
        ExactNumberInfo::Precision(p) => (*p, 0),
        ExactNumberInfo::None => {
            return Err(Error::usage("DECIMAL needs its number of digits")
                .with_hint("for example DECIMAL(18, 2)"));
        }
    };
    let bad = || {
        Error::usage(format!("DECIMAL({precision}, {scale}) is out of range"))
            .with_hint("DECIMAL(p, s) has 1 to 38 digits, 0 to p of them after the point")
    };
    if !(1..=DECIMAL_DIGITS_MAX).contains(&precision) {
        return Err(bad());
    }
    let p = u8::try_from(precision).map_err(|_| bad())?;
    let s = i8::try_from(scale).ok().filter(|s| (0..=p.cast_signed()).contains(s));
    Ok(DataType::Decimal128(p, s.ok_or_else(bad)?))
}

fn array(element: &ArrayElemTypeDef) -> Result<DataType> {
    let inner = match element {
        ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::Parenthesis(inner) => inner,
        ArrayElemTypeDef::SquareBracket(inner, None) => inner,
        ArrayElemTypeDef::SquareBracket(_, Some(_)) => {
            return Err(Error::not_supported(
                "a fixed length on an array: it would not be enforced",
            )
            .with_hint("write the element type followed by []"));
        }
        ArrayElemTypeDef::None => {
            return Err(Error::usage("ARRAY needs its element type").with_hint("ARRAY<BIGINT>"));
        }
    };
    match convert(inner)? {
        DataType::List(_) => Err(Error::not_yet("arrays of arrays")),
        scalar => Ok(DataType::List(Arc::new(Field::new_list_field(scalar, true)))),
    }
}

fn unknown(sql: &SqlType) -> Error {
    let written = sql.to_string();
    let error = match sql {
        SqlType::Custom(..) => Error::usage(format!("there is no type {written}")),
        _ => Error::not_supported(format!("a column of type {written}")),
    };
    let lower = written.to_ascii_lowercase();
    let hint = match sql {
        SqlType::Uuid | SqlType::JSON | SqlType::JSONB | SqlType::Struct(..) | SqlType::Map(..) => {
            Some("declare it as VARCHAR: it is kept as text".to_owned())
        }
        SqlType::Time(..) | SqlType::Interval { .. } => {
            Some("declare it as BIGINT or VARCHAR".to_owned())
        }
        SqlType::Datetime(_) | SqlType::TimestampNtz(_) => {
            Some("did you mean TIMESTAMP?".to_owned())
        }
        SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Blob(_) | SqlType::Bytes(_) => {
            Some("did you mean BYTEA?".to_owned())
        }
        _ => FOREIGN_NAMES
            .iter()
            .find(|(name, _)| *name == lower)
            .map(|(_, ours)| format!("did you mean {ours}?"))
            .or_else(|| {
                let near = closest(&written.to_ascii_uppercase(), TYPE_NAMES);
                near.map(|name| format!("did you mean {name}?"))
            }),
    };
    error.with_hint(hint.unwrap_or_else(|| {
        "types: BOOLEAN, TINYINT … BIGINT [UNSIGNED], REAL, DOUBLE, DECIMAL(p, s), VARCHAR, BYTEA, \
         DATE, TIMESTAMP, and arrays of these"
            .to_owned()
    }))
}

/// The SQL name of a type, as [`arrow_type`] reads it; of a type no column can be declared with,
/// Arrow's own name.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("{}[]", type_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let [key, value] = [0, 1].map(|i| type_name(fields[i].data_type()));
                format!("MAP<{key}, {value}>")
            }
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
