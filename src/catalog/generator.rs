//! What `'connector' = 'datagen'` makes: rows by the names of the columns, or one of the three
//! streams of the Nexmark benchmark, whose columns are fixed. Read by `define` and
//! `source::datagen`.

use arrow::datatypes::DataType;

use crate::catalog::source::{ColumnDef, ColumnKind};
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::sql::diagnostic::{quoted, suggestion};
use crate::sql::types::type_name;

/// Which rows are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Generator {
    /// By name and type of the columns declared.
    #[default]
    Names,
    NexmarkPerson,
    NexmarkAuction,
    NexmarkBid,
}

/// The fields of a person of Nexmark, in this order.
pub const PERSON: &[&str] =
    &["id", "name", "email_address", "credit_card", "city", "state", "date_time", "extra"];
/// The fields of an auction of Nexmark, in this order.
pub const AUCTION: &[&str] = &[
    "id",
    "item_name",
    "description",
    "initial_bid",
    "reserve",
    "date_time",
    "expires",
    "seller",
    "category",
    "extra",
];
/// The fields of a bid of Nexmark, in this order.
pub const BID: &[&str] = &["auction", "bidder", "price", "channel", "url", "date_time", "extra"];

impl Generator {
    /// Those with fixed columns.
    pub const NEXMARK: [Self; 3] = [Self::NexmarkPerson, Self::NexmarkAuction, Self::NexmarkBid];

    pub fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::NexmarkPerson => "nexmark_person",
            Self::NexmarkAuction => "nexmark_auction",
            Self::NexmarkBid => "nexmark_bid",
        }
    }

    /// The generator of that name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Names].into_iter().chain(Self::NEXMARK).find(|known| known.name() == name)
    }

    /// The fields it makes; empty = whatever is declared.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Names => &[],
            Self::NexmarkPerson => PERSON,
            Self::NexmarkAuction => AUCTION,
            Self::NexmarkBid => BID,
        }
    }

    /// The type of a field.
    pub fn data_type(field: &str) -> DataType {
        match field {
            "date_time" | "expires" => timestamp_type(),
            "id" | "initial_bid" | "reserve" | "seller" | "category" | "auction" | "bidder"
            | "price" => DataType::Int64,
            _ => DataType::Utf8,
        }
    }

    /// Which field a column is: `dateTime` and `date_time` are one.
    pub fn field(self, column: &str) -> Option<usize> {
        let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
        self.fields().iter().position(|field| plain(field) == plain(column))
    }

    /// Refuses a column that it does not make.
    ///
    /// # Errors
    /// `Usage` with the fields there are, or the type of the field.
    pub fn check(self, column: &ColumnDef) -> Result<()> {
        if self == Self::Names || column.kind != ColumnKind::Physical {
            return Ok(());
        }
        let name = self.name();
        let Some(field) = self.field(&column.name) else {
            let hint = suggestion(&column.name, self.fields().iter().copied())
                .unwrap_or_else(|| format!("it makes {}", self.fields().join(", ")));
            return Err(Error::usage(format!("{name} makes no column {}", quoted(&column.name)))
                .with_hint(hint));
        };
        let made = Self::data_type(self.fields()[field]);
        if made == column.data_type {
            return Ok(());
        }
        let (made, declared) = (type_name(&made), type_name(&column.data_type));
        Err(Error::usage(format!(
            "{name} makes {} as {made}, not {declared}",
            quoted(&column.name)
        )))
    }

    /// The statement of a source with all of its columns; `None` where they are not fixed.
    pub fn statement(self) -> Option<String> {
        let column = |field: &&str| format!("{field} {}", type_name(&Self::data_type(field)));
        let columns: Vec<String> = self.fields().iter().map(column).collect();
        let name = self.name();
        (self != Self::Names).then(|| {
            format!(
                "CREATE SOURCE {name} ({}, WATERMARK FOR date_time AS date_time - INTERVAL \
                 '4 seconds') WITH ('connector' = 'datagen', 'generator' = '{name}')",
                columns.join(", ")
            )
        })
    }
}
