//! Which sources, state groups and features run together, as plain data: catalog definitions and
//! plans in, numbered pieces out. Built by `supervisor`, read by every thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_expr::utils::collect_columns;

use crate::catalog::feature::{FeatureDef, OnlineStoreDef};
use crate::catalog::source::SourceDef;
use crate::error::Result;
use crate::operator::follow::Follow;
use crate::plan::dataflow::{FeaturePlan, WindowSpec};
use crate::plan::reach::Reach;
use crate::plan::share::{StateGroup, merge};
use crate::runtime::lane::LaneGroup;

/// A source with the state groups that read it.
#[derive(Debug)]
pub struct SourcePipeline {
    pub def: Arc<SourceDef>,
    pub groups: Vec<usize>,
}

/// A feature and where its state lives.
#[derive(Debug)]
pub struct FeaturePipeline {
    pub def: Arc<FeatureDef>,
    pub plan: FeaturePlan,
    pub source: usize,
    pub group: usize,
    /// Its number among the members of the group.
    pub member: usize,
}

/// Everything that runs in one engine. Sources, groups and features are known by their number.
#[derive(Debug)]
pub struct Pipeline {
    pub sources: Vec<SourcePipeline>,
    pub groups: Arc<Vec<LaneGroup>>,
    pub features: Vec<FeaturePipeline>,
}

/// A feature to run: its definition, its plan, and its source.
#[derive(Clone, Debug)]
pub struct Planned {
    /// `None` = a retired member of a saved group: dropped or replaced, but the layout of the
    /// state that the others go on with follows from it too.
    pub feature: Option<Arc<FeatureDef>>,
    pub plan: FeaturePlan,
    /// Its SELECT as text.
    pub query: String,
    pub source: Arc<SourceDef>,
    /// Features with different starts share no state group.
    pub start: String,
}

impl Pipeline {
    /// Numbers sources in order of name, features in order of name and version, and lets features
    /// of one (source, filter, key, start) share a state group.
    pub fn build(mut planned: Vec<Planned>) -> Result<Self> {
        planned.sort_by(|a, b| {
            (&a.plan.feature, a.plan.version).cmp(&(&b.plan.feature, b.plan.version))
        });
        // Retired members have no number.
        let mut numbers = Vec::with_capacity(planned.len());
        let mut count = 0;
        for p in &planned {
            numbers.push(p.feature.is_some().then_some(count));
            count += usize::from(p.feature.is_some());
        }
        let mut by_source: BTreeMap<String, (Arc<SourceDef>, Vec<usize>)> = BTreeMap::new();
        for (i, p) in planned.iter().enumerate() {
            let entry = by_source.entry(p.source.name.clone());
            entry.or_insert_with(|| (p.source.clone(), Vec::new())).1.push(i);
        }
        let (mut sources, mut groups) = (Vec::new(), Vec::new());
        let mut places = vec![(0, 0, 0); planned.len()];
        for (number, (_, (def, members))) in by_source.into_iter().enumerate() {
            let first = groups.len();
            for together in shared(&planned, members) {
                for group in merge(together.iter().map(|i| planned[*i].plan.clone()).collect())? {
                    let at = groups.len();
                    let (mut features, mut queries) = (Vec::new(), Vec::new());
                    let mut online = Vec::new();
                    for (m, member) in group.members.iter().enumerate() {
                        let name = &member.plan.feature;
                        let i = together.iter().find(|i| planned[**i].plan.feature == *name);
                        let i = *i.ok_or_else(|| {
                            crate::error::Error::internal(format!("{name} left its group"))
                        })?;
                        places[i] = (number, at, m);
                        features.push(numbers[i]);
                        queries.push(planned[i].query.clone());
                        online.push(planned[i].feature.as_deref().is_some_and(is_written));
                    }
                    let follow = followed(&group, &online);
                    let by_partition = by_partition(&def, &group.members[0].plan);
                    groups.push(LaneGroup {
                        source: number,
                        by_partition,
                        group,
                        features,
                        queries,
                        online,
                        follow,
                    });
                }
            }
            sources.push(SourcePipeline { def, groups: (first..groups.len()).collect() });
        }
        let features = planned.into_iter().zip(places);
        let features = features.filter_map(|(p, (source, group, member))| {
            Some(FeaturePipeline { def: p.feature?, plan: p.plan, source, group, member })
        });
        Ok(Self { sources, features: features.collect(), groups: Arc::new(groups) })
    }

    pub fn source_names(&self) -> Vec<String> {
        self.sources.iter().map(|s| s.def.name.clone()).collect()
    }

    pub fn feature_names(&self) -> Vec<String> {
        self.features.iter().map(|f| f.def.name.clone()).collect()
    }

    /// The members of each state group.
    pub fn group_names(&self) -> Vec<String> {
        let members = |group: &LaneGroup| -> Vec<String> {
            group.group.members.iter().map(|member| member.plan.feature.clone()).collect()
        };
        self.groups.iter().map(|group| members(group).join(" + ")).collect()
    }

    pub fn feature(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|f| f.def.name == name)
    }
}

/// What makes values that are written to stores change as time passes.
fn followed(group: &StateGroup, online: &[bool]) -> Follow {
    let mut follow = Follow::default();
    let written = group.members.iter().zip(online).filter(|(_, online)| **online);
    for (member, _) in written {
        if let Reach::Frame(us) | Reach::Ttl(us) = member.plan.reach() {
            follow.reaches.push(us);
        }
        let spec = match &group.window {
            WindowSpec::Trailing(spec) => spec,
            WindowSpec::Chain(spec) => &spec.second,
            WindowSpec::Group(_) => continue,
        };
        let before = spec.key_types.len() + 1 + spec.carried.len();
        for column in member.output.expressions.iter().flat_map(collect_columns) {
            let slot = column.index().checked_sub(before).and_then(|i| spec.slots.get(i));
            follow.frames.extend(slot.map(|slot| slot.frame));
        }
    }
    follow.frames.sort_unstable();
    follow.frames.dedup();
    follow.reaches.sort_unstable();
    follow.reaches.dedup();
    follow
}

fn is_written(feature: &FeatureDef) -> bool {
    matches!(feature.options.online, OnlineStoreDef::Redis(_))
}

/// Whether equal keys are always in one partition: the declared columns are all key columns.
fn by_partition(def: &SourceDef, plan: &FeaturePlan) -> bool {
    let declared = &def.options.partitioned_by;
    !declared.is_empty()
        && declared.iter().all(|c| plan.key_sources.iter().any(|k| k.as_deref() == Some(c)))
}

/// Features of one source that may share state, in order of their first member.
fn shared(planned: &[Planned], members: Vec<usize>) -> Vec<Vec<usize>> {
    let mut by_sharing: Vec<((&str, &str), Vec<usize>)> = Vec::new();
    for i in members {
        let id = (planned[i].plan.sharing.as_str(), planned[i].start.as_str());
        match by_sharing.iter_mut().find(|(other, _)| *other == id) {
            Some((_, together)) => together.push(i),
            None => by_sharing.push((id, vec![i])),
        }
    }
    by_sharing.into_iter().map(|(_, together)| together).collect()
}
