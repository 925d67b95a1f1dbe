//! What a trailing window computes, derived once from its specification and never changed.

use arrow::datatypes::SchemaRef;

use crate::aggregate::slot::{Argument, Slot, sliding};
use crate::error::{Error, Result};
use crate::plan::dataflow::{Exclude, FrameExtent, FrameSpec, TieBreak, TrailingSpec, WindowSpec};
use crate::state::row::RowLayout;

/// The specification and what follows from it.
#[derive(Debug)]
pub struct Plan {
    pub spec: TrailingSpec,
    pub layout: RowLayout,
    pub arguments: Vec<Argument>,
    pub schema: SchemaRef,
    /// The total order that says which row is the newest of a key, beside event time and log
    /// order: that of the first ROWS frame without a beginning, else of the first frame with
    /// tie-breakers.
    pub anchor_ties: Vec<TieBreak>,
    /// Some frame has tie-breakers.
    pub ordered: bool,
    /// Rows of equal time become final in one go: some frame looks at them one by one.
    pub whole_groups: bool,
    /// How far back the newest row of a key counts (semantics §4), `None` for ever.
    pub reach: Option<i64>,
}

impl Plan {
    /// # Errors
    /// `NotSupported` for types or combinations of frames that cannot be kept.
    pub fn new(spec: &TrailingSpec) -> Result<Self> {
        check(spec)?;
        let whole = |frame: &&FrameSpec| frame.is_rows() && frame.is_unbounded();
        let mut endless = spec.frames.iter().filter(whole);
        let first_endless = endless.next();
        if let Some(first) = first_endless
            && endless.any(|other| other.ties != first.ties)
        {
            return Err(Error::not_yet(
                "several ROWS UNBOUNDED PRECEDING frames with different tie-breakers",
            )
            .with_hint("order them by the same columns, or make two features"));
        }
        let tied = || spec.frames.iter().find(|frame| !frame.ties.is_empty());
        let anchor = first_endless.or_else(tied);
        let reach = spec.frames.iter().map(|frame| match frame.extent {
            FrameExtent::Range { preceding_us, .. } => preceding_us,
            FrameExtent::Rows { .. } => None,
        });
        let reach = reach.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let layout = RowLayout::new(&spec.value_types, &flags(spec))?;
        Ok(Self {
            spec: spec.clone(),
            arguments: layout.arguments(),
            layout,
            schema: WindowSpec::Trailing(spec.clone()).result_schema(),
            anchor_ties: anchor.map(|frame| frame.ties.clone()).unwrap_or_default(),
            ordered: tied().is_some(),
            whole_groups: tied().is_some() || spec.frames.iter().any(excludes),
            reach,
        })
    }

    /// Key columns of a step batch.
    pub fn key_count(&self) -> usize {
        self.spec.key_types.len()
    }

    /// The slots over one frame.
    ///
    /// # Errors
    /// `NotSupported` for an aggregate over a type it has no meaning for.
    pub fn slots(&self, frame: usize) -> Result<Vec<Box<dyn Slot>>> {
        let all = self.spec.slots.iter().enumerate();
        let own = all.filter(|(_, slot)| slot.frame == frame);
        let own: Vec<_> = own.map(|(i, slot)| (i, &slot.aggregate)).collect();
        sliding(&own, &self.arguments, self.spec.frames[frame].is_unbounded())
    }
}

/// Whether peers have different frames.
pub fn excludes(frame: &FrameSpec) -> bool {
    frame.exclude != Exclude::NoOthers
}

/// That the plan's author and we mean the same.
fn check(spec: &TrailingSpec) -> Result<()> {
    let value = |column: &usize| *column < spec.value_types.len();
    let frame = |frame: &FrameSpec| match frame.extent {
        FrameExtent::Range { preceding_us, until_us } => {
            frame.ties.is_empty()
                && until_us >= 0
                && preceding_us.is_none_or(|preceding| preceding >= until_us)
                && !(excludes(frame) && until_us > 0)
                && frame.rows_max != Some(0)
        }
        FrameExtent::Rows { preceding, until } => {
            frame.ties.iter().all(|tie| value(&tie.column))
                && preceding.is_none_or(|preceding| preceding >= until)
                && !excludes(frame)
                && frame.rows_max.is_none()
        }
    };
    let frames = spec.frames.iter().all(frame);
    let slots = spec.slots.iter().all(|slot| slot.frame < spec.frames.len());
    if !frames || !slots || !spec.carried.iter().all(value) {
        return Err(Error::internal("a trailing window refers to what its plan does not have"));
    }
    Ok(())
}

/// Columns of which only "not NULL" is asked.
fn flags(spec: &TrailingSpec) -> Vec<bool> {
    let mut flags = vec![true; spec.value_types.len()];
    let ties = spec.frames.iter().flat_map(|frame| frame.ties.iter().map(|tie| tie.column));
    for column in spec.carried.iter().copied().chain(ties) {
        flags[column] = false;
    }
    for column in spec.slots.iter().flat_map(|slot| slot.aggregate.reads()) {
        if let Some(flag) = flags.get_mut(column) {
            *flag = false;
        }
    }
    flags
}
