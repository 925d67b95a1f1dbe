//! The SQL oracle at work: a fresh, stock `SessionContext` (no planner, rule, aggregate or window
//! of ours) holding the admitted rows under the source's name, with two columns more: `_us`, the
//! event time as BIGINT µs, and `_rn`, the place in the total order (event time, then log order).
//! Plans once, runs for many data sets. Called by `check` and the random trials.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::{MemTable, TableType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::lists;
use super::rewrite::{SourceTable, rewrite};

/// A feature's SELECT as stock SQL, planned.
pub struct Oracle {
    ctx: SessionContext,
    plan: LogicalPlan,
    pub sql: String,
    slot: Arc<Slot>,
    time: String,
}

/// A table whose rows can be exchanged between runs of one plan.
#[derive(Debug)]
struct Slot {
    schema: SchemaRef,
    rows: Mutex<Option<RecordBatch>>,
}

#[async_trait]
impl TableProvider for Slot {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.lock().unwrap().clone();
        let rows = rows.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone()));
        let table = MemTable::try_new(self.schema.clone(), vec![vec![rows]])?;
        table.scan(state, projection, filters, limit).await
    }
}

impl Oracle {
    /// Plans `query` (a feature's SELECT, or `stock`: SQL written by hand) over a source whose own
    /// columns are `columns`.
    pub async fn plan(
        table: &str,
        time: &str,
        columns: &Schema,
        query: &str,
        stock: Option<&str>,
    ) -> Result<Self, String> {
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let ctx = SessionContext::new_with_config(config);
        lists::register(&ctx);
        let mut fields: Vec<_> = columns.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_us", DataType::Int64, false)));
        fields.push(Arc::new(Field::new("_rn", DataType::Int64, false)));
        let slot = Arc::new(Slot { schema: Arc::new(Schema::new(fields)), rows: Mutex::new(None) });
        ctx.register_table(TableReference::bare(table), slot.clone()).map_err(|e| e.to_string())?;
        let source = SourceTable { name: table, time };
        let sql = match stock {
            Some(sql) => sql.to_owned(),
            None => rewrite(&ctx, &source, query).await?,
        };
        let fail = |e: datafusion::error::DataFusionError| format!("oracle: {e}\n  in {sql}");
        let plan = ctx.sql(&sql).await.map_err(fail)?.into_optimized_plan().map_err(fail)?;
        Ok(Self { ctx, plan, sql, slot, time: time.to_owned() })
    }

    /// The rows of the query over `admitted` (admitted batches: source columns, `_partition`,
    /// `_offset`, `_timestamp`).
    pub async fn run(&self, admitted: &[RecordBatch]) -> Result<Vec<RecordBatch>, String> {
        let rows = self.table(admitted).map_err(|e| format!("oracle table: {e}"))?;
        *self.slot.rows.lock().unwrap() = Some(rows);
        let fail = |e: datafusion::error::DataFusionError| format!("oracle: {e}\n  {}", self.sql);
        let state = self.ctx.state();
        let plan = state.query_planner().create_physical_plan(&self.plan, &state).await;
        collect(plan.map_err(fail)?, self.ctx.task_ctx()).await.map_err(fail)
    }

    /// The admitted rows in the total order, numbered.
    fn table(&self, admitted: &[RecordBatch]) -> Result<RecordBatch> {
        let Some(first) = admitted.first() else {
            return Ok(RecordBatch::new_empty(self.slot.schema.clone()));
        };
        let all = concat_batches(&first.schema(), admitted)?;
        let own = self.slot.schema.fields().len() - 2;
        let time = all.schema().index_of(&self.time)?;
        let us = all.column(time).as_primitive::<TimestampMicrosecondType>().clone();
        let partition = all.column(own).as_primitive::<Int32Type>().clone();
        let offset = all.column(own + 1).as_primitive::<Int64Type>().clone();
        let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
        order.sort_by_key(|row| {
            let row = *row as usize;
            (us.value(row), partition.value(row), offset.value(row))
        });
        let sorted = take_record_batch(&all, &UInt32Array::from(order))?;
        let us = sorted.column(time).as_primitive::<TimestampMicrosecondType>();
        let us: ArrayRef = Arc::new(us.reinterpret_cast::<Int64Type>());
        let mut columns = sorted.columns()[..own].to_vec();
        columns.push(us);
        columns.push(lists::row_numbers(sorted.num_rows()));
        Ok(RecordBatch::try_new(self.slot.schema.clone(), columns)?)
    }
}
