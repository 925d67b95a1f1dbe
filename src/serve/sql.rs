//! `POST /sql`: statements in, results out, as JSON or (one statement, for programs) as an Arrow
//! stream. Reading statements answer from what the engine knows now; CREATE and DROP go to
//! [`Engine::define`]. Must never write a file for somebody else: COPY is refused.
//!
//! ```text
//! {"sql": "SELECT user_id, n FROM spend; SHOW CREATE spend"}
//! {"results": [{"columns": [{"name": "user_id", "type": "BIGINT"}, …],
//!               "rows": [{"user_id": 1, …}]},
//!              {"text": "CREATE FEATURE spend …"}, {"done": "created feature spend"}]}
//! ```

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::writer::StreamWriter;
use axum::body::{Body, Bytes};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use crate::error::{Error, Kind, Result};
use crate::format::rejection::sql_type;
use crate::model::text::{write_json_row, write_json_string};
use crate::serve::engine::{Desired, Engine, SqlAnswer};
use crate::sql::ast::{ExplainTarget, Statement};
use crate::sql::guard::on_big_stack;
use crate::sql::parser::parse_statements;

/// Bytes of one JSON answer.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What a request asks for.
#[derive(Debug)]
pub struct Submitted {
    pub statements: Vec<Statement>,
    /// The definitions are to be as the statements say, as `skewless apply` takes files.
    pub desired: Option<Desired>,
}

/// Reads a request body: `{"sql": "…"}`, or `{"sql": "…", "apply": {"replace": false}}`.
pub fn submitted(body: &[u8]) -> Result<Submitted> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Submission {
        sql: String,
        #[serde(default)]
        apply: Option<Desired>,
    }
    let submission: Submission = serde_json::from_slice(body).map_err(|e| {
        Error::usage(format!("the body is not a JSON object with \"sql\": {e}"))
            .with_hint("send {\"sql\": \"SELECT …\"}")
    })?;
    let statements = on_big_stack(|| parse_statements(&submission.sql)).map_err(placed)?;
    if statements.is_empty() {
        return Err(Error::usage("no statement").with_hint("send {\"sql\": \"SELECT …\"}"));
    }
    Ok(Submitted { statements, desired: submission.apply })
}

/// An error that points into SQL says where in words: JSON has no caret.
fn placed(error: Error) -> Error {
    match error.span() {
        Some(span) => {
            let (line, column) = span.start;
            let placed = Error::new(
                error.kind(),
                format!("{} (line {line}, column {column})", error.message()),
            );
            match error.hint() {
                Some(hint) => placed.with_hint(hint),
                None => placed,
            }
        }
        None => error,
    }
}

/// Whether a statement changes definitions.
pub fn defines(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::CreateSource(_) | Statement::CreateFeature(_) | Statement::Drop(_)
    )
}

/// Refuses what would write elsewhere.
fn check(statement: &Statement) -> Result<()> {
    let copies = match statement {
        Statement::Copy(_) => true,
        Statement::Explain(explain) => match &explain.target {
            ExplainTarget::Statement(inner) => matches!(**inner, Statement::Copy(_)),
            ExplainTarget::Feature(_) => false,
        },
        _ => false,
    };
    if copies {
        return Err(Error::not_supported(
            "COPY over HTTP: it would write files of the engine's user",
        )
        .with_hint("run it where the file shall be: skewless sql -e 'COPY …'"));
    }
    Ok(())
}

/// Runs the statements in order, all of one kind; the first error is the answer.
pub async fn as_json(engine: &dyn Engine, submitted: &Submitted) -> Result<String> {
    let statements = &submitted.statements;
    statements.iter().try_for_each(check)?;
    let mut out = "{\"results\":[".to_owned();
    if submitted.desired.is_some() || statements.iter().any(defines) {
        if !statements.iter().all(defines) {
            return Err(Error::usage("definitions and queries in one submission")
                .with_hint("send the CREATE and DROP statements by themselves: all or nothing"));
        }
        let done = engine.define(statements, submitted.desired).await.map_err(placed)?;
        for (at, done) in done.iter().enumerate() {
            result(at, "done", done, &mut out);
        }
    } else {
        for (at, statement) in statements.iter().enumerate() {
            let answer = engine.query(statement).await.map_err(placed)?;
            match answer {
                SqlAnswer::Text(text) => result(at, "text", &text, &mut out),
                SqlAnswer::Done(done) => result(at, "done", &done, &mut out),
                SqlAnswer::Rows(stream) => {
                    if at > 0 {
                        out.push(',');
                    }
                    rows(stream, &mut out).await?;
                }
            }
        }
    }
    out.push_str("]}");
    Ok(out)
}

fn result(at: usize, what: &str, text: &str, out: &mut String) {
    out.push_str(if at > 0 { ",{\"" } else { "{\"" });
    out.push_str(what);
    out.push_str("\":");
    write_json_string(text, out);
    out.push('}');
}

async fn rows(mut stream: SendableRecordBatchStream, out: &mut String) -> Result<()> {
    out.push_str("{\"columns\":[");
    for (at, field) in stream.schema().fields().iter().enumerate() {
        out.push_str(if at > 0 { ",{\"name\":" } else { "{\"name\":" });
        write_json_string(field.name(), out);
        out.push_str(",\"type\":");
        write_json_string(&sql_type(field.data_type()), out);
        out.push('}');
    }
    out.push_str("],\"rows\":[");
    let mut first = true;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            write_json_row(&batch, row, out)?;
            if out.len() > ANSWER_BYTES_MAX {
                return Err(Error::new(
                    Kind::Exhausted,
                    format!("an answer of more than {ANSWER_BYTES_MAX} bytes"),
                )
                .with_hint("add a LIMIT, or run `skewless sql`, which reads row by row"));
            }
        }
    }
    out.push_str("]}");
    Ok(())
}

/// The rows of one statement as an Arrow IPC stream, sent while they are computed. An error on the
/// way breaks the stream off, so that half an answer cannot be taken for a whole one.
pub async fn as_arrow(engine: &dyn Engine, statements: &[Statement]) -> Result<Body> {
    let [statement] = statements else {
        return Err(Error::usage(format!("{} statements for one Arrow stream", statements.len()))
            .with_hint("send them one by one"));
    };
    check(statement)?;
    if defines(statement) {
        return Err(Error::usage("a definition has no rows")
            .with_hint("ask for it without accept: application/vnd.apache.arrow.stream"));
    }
    let answer = engine.query(statement).await.map_err(placed)?;
    let SqlAnswer::Rows(stream) = answer else {
        return Err(Error::usage("the statement has no rows")
            .with_hint("ask for it without accept: application/vnd.apache.arrow.stream"));
    };
    let writer = StreamWriter::try_new(Vec::new(), &stream.schema())?;
    let pieces = futures::stream::try_unfold(Some((stream, writer)), |state| async move {
        let Some((mut stream, mut writer)) = state else { return Ok::<_, Error>(None) };
        match stream.next().await {
            Some(batch) => {
                writer.write(&batch?)?;
                let piece = Bytes::from(std::mem::take(writer.get_mut()));
                Ok(Some((piece, Some((stream, writer)))))
            }
            None => {
                writer.finish()?;
                Ok(Some((Bytes::from(std::mem::take(writer.get_mut())), None)))
            }
        }
    });
    Ok(Body::from_stream(pieces))
}

/// Reads an answer of [`as_arrow`].
pub fn read_arrow(bytes: &[u8]) -> Result<(Arc<Schema>, Vec<RecordBatch>)> {
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes, None)?;
    let schema = reader.schema();
    Ok((schema, reader.collect::<Result<Vec<_>, _>>()?))
}
