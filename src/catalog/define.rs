//! CREATE SOURCE → [`SourceDef`]: everything that can be checked without reading data is checked
//! here. Called by `registry` users when a statement is submitted, and by `persist` when a home
//! is opened. Expressions are typed by the planner, handed in as a callback.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field, Schema};
use sqlparser::ast::{Expr, Visit, Visitor};

use crate::catalog::source::{
    ColumnDef, ColumnKind, Connector, Format, Generator, JsonOptions, JsonTimestamp, MetadataField,
    SourceDef, SourceOptions, StartupMode, WatermarkDef,
};
use crate::error::{Error, Result, Span};
use crate::limits::NAME_BYTES_MAX;
use crate::model::batch::timestamp_type;
use crate::sql::ast::{ColumnOrigin, CreateSource, Name, SourceColumn, Spanned};
use crate::sql::diagnostic::{quoted, suggestion};
use crate::sql::expand::Env;
use crate::sql::option_value::OptionValue;
use crate::sql::options::{AppliesTo, Options};
use crate::sql::printer;
use crate::sql::token::{At, span_of};
use crate::sql::types::type_name;

/// Types an expression over the columns of a schema: (type, nullable). Given by `plan`.
pub type Infer<'a> = &'a dyn Fn(&Expr, &Schema) -> Result<(DataType, bool)>;

/// Checks a CREATE SOURCE statement and makes the definition.
pub fn source_def(create: &CreateSource, env: Env<'_>, infer: Infer<'_>) -> Result<SourceDef> {
    check_name("source", &create.name)?;
    let options = Options::check(AppliesTo::Source, &create.options, env)?;
    let checked = source_options(create, &options)?;
    let columns = columns(create, checked.connector, infer)?;
    for (column, declared) in columns.iter().zip(&create.columns) {
        let located = |error: Error| error.with_span(declared.name.span);
        checked.generator.check(column).map_err(located)?;
    }
    let watermark = watermark(create, &columns)?;
    for column in &checked.partitioned_by {
        check_partition_column(column, &columns, options.value_span("partitioned.by"))?;
    }
    let sql = printer::create_source(create);
    Ok(SourceDef { name: create.name.value.clone(), columns, watermark, options: checked, sql })
}

/// Refuses names that would collide with what the engine writes, or that no file can have.
pub fn check_name(what: &str, name: &Name) -> Result<()> {
    let value = name.value.as_str();
    let refuse = |why: String, hint: &str| {
        Err(Error::usage(format!("the {what} name {} {why}", quoted(value)))
            .with_span(name.span)
            .with_hint(hint))
    };
    if value.len() > NAME_BYTES_MAX {
        return refuse(format!("is longer than {NAME_BYTES_MAX} bytes"), "shorten it");
    }
    if value.starts_with('_') {
        return refuse("begins with '_', as the engine's own columns do".into(), "rename it");
    }
    if what == "column" && value == "date" {
        let hint = "rename it, or quote another spelling";
        return refuse("is that of the partitions of the files written".into(), hint);
    }
    if value.chars().any(char::is_control) {
        return refuse("holds a control character".into(), "leave it out");
    }
    if what != "column" && matches!(value, "." | "..") {
        return refuse("cannot be the name of a directory".into(), "rename it");
    }
    Ok(())
}

fn columns(
    create: &CreateSource,
    connector: Connector,
    infer: Infer<'_>,
) -> Result<Vec<ColumnDef>> {
    let mut columns: Vec<ColumnDef> = Vec::new();
    for column in &create.columns {
        check_name("column", &column.name)?;
        let name = column.name.value.clone();
        if columns.iter().any(|c| c.name == name) {
            return Err(Error::usage(format!("column {} is declared twice", quoted(&name)))
                .with_span(column.name.span));
        }
        columns.push(match &column.origin {
            ColumnOrigin::Physical => ColumnDef {
                name,
                data_type: declared(column)?,
                nullable: !column.not_null,
                kind: ColumnKind::Physical,
            },
            ColumnOrigin::Metadata(field) => metadata(column, field, connector)?,
            ColumnOrigin::Computed { expression, text } => {
                computed(column, (expression, text), &columns, create, infer)?
            }
        });
    }
    if !columns.iter().any(|c| c.kind == ColumnKind::Physical) {
        return Err(Error::usage("a source needs at least one column of its records")
            .with_span(create.name.span));
    }
    Ok(columns)
}

fn declared(column: &SourceColumn) -> Result<DataType> {
    match &column.data_type {
        Some(data_type) => Ok(data_type.value.clone()),
        None => Err(Error::usage(format!("column {} needs a type", quoted(&column.name.value)))
            .with_span(column.name.span)),
    }
}

/// The metadata fields: name, types a column of it can have.
fn metadata_field(name: &str) -> Option<(MetadataField, Vec<DataType>)> {
    Some(match name {
        "partition" => (MetadataField::Partition, vec![DataType::Int32]),
        "offset" => (MetadataField::Offset, vec![DataType::Int64]),
        "timestamp" => (MetadataField::Timestamp, vec![timestamp_type()]),
        "key" => (MetadataField::Key, vec![DataType::Utf8, DataType::Binary]),
        "headers" => (MetadataField::Headers, vec![DataType::Utf8]),
        _ => return None,
    })
}

fn metadata(column: &SourceColumn, field: &Name, connector: Connector) -> Result<ColumnDef> {
    let known = ["partition", "offset", "timestamp", "key", "headers"];
    let Some((kind, types)) = metadata_field(&field.value) else {
        let error = Error::usage(format!("records have no metadata {}", quoted(&field.value)));
        let error = match suggestion(&field.value, known) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        return Err(error.with_span(field.span));
    };
    let in_files = matches!(kind, MetadataField::Partition | MetadataField::Offset);
    if connector != Connector::Kafka && !in_files {
        return Err(Error::usage(format!("only Kafka records have a {}", field.value))
            .with_span(field.span)
            .with_hint("files have partition and offset"));
    }
    let data_type = declared(column)?;
    if !types.contains(&data_type) {
        let names: Vec<String> = types.iter().map(type_name).collect();
        let span = column.data_type.as_ref().map_or(column.name.span, |t| t.span);
        return Err(Error::usage(format!(
            "the metadata {} is {}, not {}",
            quoted(&field.value),
            names.join(" or "),
            type_name(&data_type)
        ))
        .with_span(span));
    }
    if column.not_null && !in_files {
        return Err(Error::usage(format!("a record may have no {}", field.value))
            .with_span(column.name.span)
            .with_hint("leave NOT NULL out"));
    }
    Ok(ColumnDef {
        name: column.name.value.clone(),
        data_type,
        nullable: !in_files,
        kind: ColumnKind::Metadata(kind),
    })
}

fn computed(
    column: &SourceColumn,
    (expression, text): (&Spanned<Box<Expr>>, &str),
    earlier: &[ColumnDef],
    create: &CreateSource,
    infer: Infer<'_>,
) -> Result<ColumnDef> {
    if column.not_null {
        return Err(Error::usage(
            "whether a computed column can be NULL follows from its expression",
        )
        .with_span(column.name.span)
        .with_hint("leave NOT NULL out"));
    }
    let (span, expression) = (expression.span, expression.value.as_ref());
    let visible: Vec<&ColumnDef> =
        earlier.iter().filter(|c| !matches!(c.kind, ColumnKind::Computed(_))).collect();
    let mut references = References { visible: &visible, create };
    if let ControlFlow::Break(error) = expression.visit(&mut references) {
        return Err(error.with_span(span));
    }
    let fields = visible.iter().map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let (inferred, nullable) = infer(expression, &schema).map_err(|e| e.with_span(span))?;
    let inferred = canonical_type(&inferred);
    let (data_type, nullable, text) = match &column.data_type {
        Some(declared) if declared.value != inferred => {
            let cast = format!("CAST(({text}) AS {})", type_name(&declared.value));
            (declared.value.clone(), true, cast)
        }
        _ => (inferred, nullable, text.to_owned()),
    };
    if !is_declarable(&data_type) {
        return Err(Error::not_supported(format!("a computed column of type {data_type}"))
            .with_span(span)
            .with_hint("cast it: CAST(… AS VARCHAR)"));
    }
    let kind = ColumnKind::Computed(text);
    Ok(ColumnDef { name: column.name.value.clone(), data_type, nullable, kind })
}

/// The type a column is held in, of the type an expression has.
fn canonical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Timestamp(..) => timestamp_type(),
        other => other.clone(),
    }
}

fn is_declarable(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Boolean | T::Utf8 | T::Binary | T::Date32 | T::Decimal128(..) | T::Timestamp(..) => true,
        T::List(item) => is_declarable(item.data_type()),
        other => other.is_integer() || matches!(other, T::Float32 | T::Float64),
    }
}

/// Checks the names in a computed column before it is typed, for better answers.
struct References<'a> {
    visible: &'a [&'a ColumnDef],
    create: &'a CreateSource,
}

impl Visitor for References<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let refuse =
            |error: Error| ControlFlow::Break(error.at(sqlparser::ast::Spanned::span(expr)));
        match expr {
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                refuse(Error::not_supported("a sub-query in a computed column"))
            }
            Expr::Function(function) if function.over.is_some() => refuse(
                Error::not_supported("a window in a computed column")
                    .with_hint("a computed column sees one record; windows belong into a feature"),
            ),
            Expr::Identifier(ident) if self.visible.iter().all(|c| c.name != ident.value) => {
                match self.unknown(&ident.value) {
                    Some(error) => ControlFlow::Break(error.with_span(span_of(ident.span))),
                    None => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl References<'_> {
    fn unknown(&self, name: &str) -> Option<Error> {
        let declared = self.create.columns.iter().find(|c| c.name.value == name);
        match declared.map(|c| &c.origin) {
            Some(ColumnOrigin::Computed { .. }) => Some(
                Error::usage(format!("{} is computed itself", quoted(name)))
                    .with_hint("write its expression out"),
            ),
            Some(_) => Some(
                Error::usage(format!("column {} is declared later", quoted(name)))
                    .with_hint("declare computed columns after those they use"),
            ),
            None => {
                let names = self.visible.iter().map(|c| c.name.as_str());
                let error = Error::usage(format!("there is no column {}", quoted(name)));
                Some(match suggestion(name, names) {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
        }
    }
}

fn watermark(create: &CreateSource, columns: &[ColumnDef]) -> Result<WatermarkDef> {
    let Some(watermark) = &create.watermark else {
        let column = columns.iter().find(|c| c.data_type == timestamp_type());
        let name = column.map_or("event_time".to_owned(), |c| printer::name_text(&c.name));
        return Err(Error::usage("a source needs a watermark: which column is its event time")
            .with_span(create.name.span)
            .with_hint(format!("add WATERMARK FOR {name} AS {name} - INTERVAL '30 seconds'")));
    };
    let name = &watermark.column;
    let Some(column) = columns.iter().find(|c| c.name == name.value) else {
        let error = Error::usage(format!("there is no column {}", quoted(&name.value)));
        return Err(match suggestion(&name.value, columns.iter().map(|c| c.name.as_str())) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
        .with_span(name.span));
    };
    if matches!(column.kind, ColumnKind::Computed(_)) {
        return Err(Error::not_supported("a computed column as the event time")
            .with_span(name.span)
            .with_hint("declare the field itself as TIMESTAMP; see 'json.timestamp'"));
    }
    if column.data_type != timestamp_type() {
        return Err(Error::usage(format!(
            "the event time must be a TIMESTAMP, {} is {}",
            quoted(&name.value),
            type_name(&column.data_type)
        ))
        .with_span(name.span)
        .with_hint("numbers are read as TIMESTAMP with 'json.timestamp' = 'epoch_ms'"));
    }
    Ok(WatermarkDef { column: name.value.clone(), delay_us: watermark.delay_us })
}

fn check_partition_column(name: &str, columns: &[ColumnDef], span: Option<Span>) -> Result<()> {
    let error = match columns.iter().find(|c| c.name == name) {
        Some(column) if column.kind == ColumnKind::Physical => return Ok(()),
        Some(_) => Error::usage(format!("{} is no field of the records", quoted(name))),
        None => {
            let error = Error::usage(format!("there is no column {}", quoted(name)));
            match suggestion(name, columns.iter().map(|c| c.name.as_str())) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
    };
    let error = error.context("option 'partitioned.by'");
    Err(match span {
        Some(span) => error.with_span(span),
        None => error,
    })
}

fn source_options(create: &CreateSource, options: &Options) -> Result<SourceOptions> {
    let required = |name: &str, example: &str| {
        options.text(name).ok_or_else(|| {
            Error::usage(format!("a source needs the option '{name}'"))
                .with_span(create.name.span)
                .with_hint(format!("WITH ('{name}' = '{example}', …)"))
        })
    };
    let name = required("connector", "kafka")?;
    options.check_connector(&name)?;
    let connector = match name.as_str() {
        "kafka" => Connector::Kafka,
        "file" => Connector::File,
        _ => Connector::Datagen,
    };
    let properties = options.with_prefix("properties.");
    match connector {
        Connector::Kafka => {
            required("topic", "transactions")?;
            if !properties.iter().any(|(key, _)| key == "bootstrap.servers") {
                required("properties.bootstrap.servers", "localhost:9092")?;
            }
        }
        Connector::File => {
            required("path", "data/*.parquet")?;
        }
        Connector::Datagen => {}
    }
    let typed = Typed(options);
    let checked = SourceOptions {
        connector,
        path: options.text("path"),
        topic: options.text("topic"),
        properties,
        startup: startup(options)?,
        partitioned_by: typed.columns("partitioned.by"),
        format: format(options, connector)?,
        json: json_options(options),
        history: options.text("history"),
        archive: typed.boolean("archive"),
        dead_letter: options.text("dead_letter"),
        dead_letter_max_ratio: typed.ratio("dead_letter.max_ratio"),
        skip_gaps: options.text("on_gap").as_deref() == Some("skip"),
        max_future_us: typed.duration("max_future")?,
        idle_timeout_us: typed.duration("idle_timeout")?,
        advance_idle: options.text("idle").as_deref() == Some("advance"),
        message_bytes_max: typed.bytes("message.max_bytes")?,
        generator: options.text("generator").and_then(|n| Generator::of(&n)).unwrap_or_default(),
        datagen_rows: typed.count("rows"),
        datagen_rate: typed.count("rate"),
        datagen_seed: typed.count("seed").unwrap_or(0),
    };
    check_combinations(&checked, options)?;
    Ok(checked)
}

fn check_combinations(checked: &SourceOptions, options: &Options) -> Result<()> {
    let at = |error: Error, name: &str| match options.key_span(name) {
        Some(span) => Err(error.with_span(span)),
        None => Err(error),
    };
    if checked.archive && checked.history.is_none() {
        let error = Error::usage("'archive' = 'true' needs 'history', the URL to write to");
        return at(error, "archive");
    }
    if let Some(topic) = checked.dead_letter_topic() {
        if checked.connector != Connector::Kafka {
            let error = Error::usage("'dead_letter' = 'kafka:…' is for 'connector' = 'kafka'")
                .with_hint("give a directory or s3://…");
            return at(error, "dead_letter");
        }
        if checked.topic.as_deref() == Some(topic) {
            let error = Error::usage("dead letters cannot go to the topic they come from")
                .with_hint(format!("another topic, as in 'kafka:{topic}.dead'"));
            return at(error, "dead_letter");
        }
    }
    if checked.datagen_rate == Some(0) {
        return at(Error::usage("'rate' must be at least 1"), "rate");
    }
    if checked.format != Format::Json {
        for name in ["json.timestamp", "json.coerce", "json.nonfinite", "json.unknown"] {
            if options.is_given(name) {
                let error = Error::usage(format!("option '{name}' is for 'format' = 'json'"));
                return at(error, name);
            }
        }
    }
    Ok(())
}

/// Reads options whose type the table fixes.
struct Typed<'a>(&'a Options);

impl Typed<'_> {
    fn boolean(&self, name: &str) -> bool {
        self.0.value(name) == Some(OptionValue::Boolean(true))
    }

    fn columns(&self, name: &str) -> Vec<String> {
        match self.0.value(name) {
            Some(OptionValue::Columns(columns)) => columns,
            _ => Vec::new(),
        }
    }

    fn count(&self, name: &str) -> Option<u64> {
        match self.0.value(name) {
            Some(OptionValue::Count(count)) => Some(count),
            _ => None,
        }
    }

    fn ratio(&self, name: &str) -> Option<f64> {
        match self.0.value(name) {
            Some(OptionValue::Ratio(share)) => Some(share),
            _ => None,
        }
    }

    fn duration(&self, name: &str) -> Result<i64> {
        match self.0.value(name) {
            Some(OptionValue::Duration(us)) => Ok(us),
            _ => Err(Error::internal(format!("option '{name}' has no default"))),
        }
    }

    fn bytes(&self, name: &str) -> Result<usize> {
        match self.0.value(name) {
            Some(OptionValue::Bytes(bytes)) => Ok(bytes),
            _ => Err(Error::internal(format!("option '{name}' has no default"))),
        }
    }
}

fn startup(options: &Options) -> Result<StartupMode> {
    let mode = options.text("scan.startup.mode").unwrap_or_default();
    let at = |error: Error, name: &str| match options.key_span(name) {
        Some(span) => error.with_span(span),
        None => error,
    };
    match (mode.as_str(), options.value("scan.startup.timestamp")) {
        ("timestamp", Some(OptionValue::Timestamp(time))) => {
            Ok(StartupMode::Timestamp(time.0.div_euclid(1_000)))
        }
        ("timestamp", _) => {
            let error = Error::usage("'scan.startup.mode' = 'timestamp' needs a time")
                .with_hint("add 'scan.startup.timestamp' = '2024-01-01T00:00:00Z'");
            Err(at(error, "scan.startup.mode"))
        }
        (_, Some(_)) => {
            let error = Error::usage(
                "option 'scan.startup.timestamp' needs 'scan.startup.mode' = 'timestamp'",
            );
            Err(at(error, "scan.startup.timestamp"))
        }
        ("latest-offset", None) => Ok(StartupMode::Latest),
        _ => Ok(StartupMode::Earliest),
    }
}

fn format(options: &Options, connector: Connector) -> Result<Format> {
    let format = match options.text("format").as_deref() {
        Some("csv") => Format::Csv,
        Some("parquet") => Format::Parquet,
        _ => Format::Json,
    };
    let refuse = |error: Error| match options.value_span("format") {
        Some(span) => Err(error.with_span(span)),
        None => Err(error),
    };
    match (connector, format) {
        (Connector::Kafka, Format::Parquet) => {
            refuse(Error::not_supported("Parquet in Kafka messages").with_hint("use json"))
        }
        (Connector::Kafka, Format::Csv) => {
            refuse(Error::not_yet("CSV in Kafka messages").with_hint("use json"))
        }
        (Connector::File, Format::Json) if !options.is_given("format") => {
            let path = options.text("path").unwrap_or_default();
            let looks_like = |ending: &str| path.trim_end_matches('/').ends_with(ending);
            for other in ["parquet", "csv"] {
                if looks_like(&format!(".{other}")) {
                    let error = Error::usage(format!(
                        "the path ends in .{other}, but 'format' is json, the default"
                    ))
                    .with_hint(format!("add 'format' = '{other}'"));
                    return Err(match options.value_span("path") {
                        Some(span) => error.with_span(span),
                        None => error,
                    });
                }
            }
            Ok(format)
        }
        _ => Ok(format),
    }
}

fn json_options(options: &Options) -> JsonOptions {
    let is = |name: &str, word: &str| options.text(name).as_deref() == Some(word);
    JsonOptions {
        timestamp: match options.text("json.timestamp").as_deref() {
            Some("epoch_s") => JsonTimestamp::EpochSeconds,
            Some("epoch_ms") => JsonTimestamp::EpochMillis,
            Some("epoch_us") => JsonTimestamp::EpochMicros,
            _ => JsonTimestamp::Rfc3339,
        },
        coerce: Typed(options).boolean("json.coerce"),
        nonfinite: is("json.nonfinite", "accept"),
        reject_unknown: is("json.unknown", "reject"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
