//! One committed epoch as a file. Its existence under its final name is the commit.
//!
//! The first line is `skewless-manifest <format> <bytes of the rest> <xxh3-128 of the rest>`, the
//! rest is JSON that a person can read. Every truncation and every flipped bit is noticed: the
//! line is compared as text, the rest by length and checksum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::model::epoch::Epoch;
use crate::offline::writer::PreparedFile;

/// Version of the layout; a newer one is refused, older ones are read.
pub const FORMAT: u32 = 1;
const MAGIC: &str = "skewless-manifest";

/// One file of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Relative to the checkpoint directory; may lie in the folder of an earlier epoch.
    pub path: String,
    /// State group.
    pub group: String,
    /// Which part of the group: a lane or shard, as the runtime names it.
    pub part: String,
    pub bytes: u64,
    /// xxh3-128 of the bytes, hexadecimal.
    pub checksum: String,
}

/// A feature as a member of a state group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberState {
    pub version: u32,
    /// Must not have changed to continue from the state.
    pub fingerprint: String,
    /// Its SELECT: the layout of the group follows from all members, also from one that is
    /// dropped while others live on.
    pub query: String,
}

/// A state group: who shares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    pub source: String,
    /// By name of the feature.
    pub members: BTreeMap<String, MemberState>,
    /// The watermark up to which the group's final rows are in files or state, µs.
    pub watermark: Option<i64>,
}

/// How far a source was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// The next offset to read, by partition.
    pub positions: BTreeMap<u32, i64>,
    /// How many partitions the source had.
    pub partitions: usize,
    /// Admission state per partition (watermarks, floors, counts), owned by `source`.
    pub admission: serde_json::Value,
    /// The committed watermark, µs.
    pub watermark: Option<i64>,
    /// The input was declared over (`--until end`): a later run is refused.
    pub ended: bool,
    /// When its newest record was read, µs of wall time: serving time goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<i64>,
}

/// Everything about one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub epoch: u64,
    /// Grows whenever the engine starts, so that online versions only grow, whatever was
    /// written after the epoch it starts from.
    pub generation: u64,
    pub sources: BTreeMap<String, SourceState>,
    pub groups: BTreeMap<String, GroupState>,
    pub state: Vec<StateFile>,
    /// Output to publish: durable under invisible names before this manifest was written.
    pub prepared: Vec<PreparedFile>,
    /// Whatever else the runtime must find again.
    pub extra: serde_json::Value,
}

/// Checksum of a file, as manifests hold it.
pub fn checksum(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// Name of the manifest of an epoch.
pub fn file_name(epoch: Epoch) -> String {
    format!("manifest-{:010}.json", epoch.0)
}

/// Name of the mark that an epoch's output was published; whoever tidies the output afterwards
/// does not stand in the way of a restart.
pub fn mark_name(epoch: Epoch) -> String {
    format!("published-{:010}", epoch.0)
}

/// The epoch of a manifest's name; `None` for any other file.
pub fn epoch_of(path: &str) -> Option<Epoch> {
    let digits = path.strip_prefix("manifest-")?.strip_suffix(".json")?;
    let epoch = Epoch(digits.parse().ok()?);
    (file_name(epoch) == path).then_some(epoch)
}

/// The epoch whose commit makes a file that no manifest names useless; `None` for a manifest and
/// for files that are not ours. A manifest that is being written stays until the one after it, so
/// that an engine that comes too late finds the name taken and not its own file gone.
pub fn over_with(path: &str) -> Option<Epoch> {
    let (kind, rest) = path.split_once('-')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let epoch = Epoch(rest[..digits].parse().ok()?);
    match kind {
        "state" | "published" => Some(epoch),
        "manifest" if path.ends_with(".pending") => Some(epoch.next()),
        _ => None,
    }
}

impl Manifest {
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut body = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::internal(format!("a manifest that is no JSON: {e}")))?;
        body.push(b'\n');
        let mut out = header(self.format, &body).into_bytes();
        out.append(&mut body);
        Ok(out)
    }

    /// Reads and verifies; the error says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::data(format!("the manifest is damaged: {what}"));
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| wrong("no header"))?;
        let (head, body) = bytes.split_at(end + 1);
        let head = std::str::from_utf8(head).map_err(|_| wrong("header"))?;
        let mut words = head.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(wrong("header"));
        }
        let format: u32 =
            words.next().and_then(|word| word.parse().ok()).ok_or_else(|| wrong("format"))?;
        if head != header(format, body) && !failpoint::broken("believe every manifest") {
            return Err(wrong("length or checksum do not fit"));
        }
        if format > FORMAT {
            return Err(Error::not_supported(format!(
                "a checkpoint of format {format}; this program reads up to {FORMAT}"
            ))
            .with_hint("use the newer version that wrote it"));
        }
        let manifest: Self = serde_json::from_slice(body)
            .map_err(|e| wrong(&format!("whole, but not understood: {e}")))?;
        if manifest.format != format {
            return Err(wrong("two formats"));
        }
        Ok(manifest)
    }
}

fn header(format: u32, body: &[u8]) -> String {
    // The checksum covers the format too.
    let mut sum = format.to_le_bytes().to_vec();
    sum.extend_from_slice(body);
    format!("{MAGIC} {format} {} {}\n", body.len(), checksum(&sum))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(epoch: u64) -> Manifest {
        Manifest {
            format: FORMAT,
            epoch,
            generation: 3,
            sources: BTreeMap::from([(
                "tx".to_owned(),
                SourceState {
                    positions: BTreeMap::from([(0, 10), (1, i64::MAX)]),
                    partitions: 2,
                    admission: serde_json::json!({"0": {"late": 1}}),
                    watermark: Some(i64::MIN),
                    ended: false,
                    read_at: Some(1),
                },
            )]),
            groups: BTreeMap::from([(
                "g \"quoted\" é".to_owned(),
                GroupState {
                    source: "tx".to_owned(),
                    members: BTreeMap::from([(
                        "spend".to_owned(),
                        MemberState {
                            version: 1,
                            fingerprint: "f".to_owned(),
                            query: "SELECT 1".to_owned(),
                        },
                    )]),
                    watermark: None,
                },
            )]),
            state: Vec::new(),
            prepared: Vec::new(),
            extra: serde_json::json!({"x": [1, null]}),
        }
    }

    #[test]
    fn a_manifest_is_read_back_equal() {
        let bytes = sample(7).encode().unwrap();
        assert_eq!(Manifest::decode(&bytes).unwrap(), sample(7));
        assert_eq!(epoch_of(&file_name(Epoch(7))), Some(Epoch(7)));
        for other in ["manifest-7.json", "manifest-0000000007.json.pending", "x", "manifest-.json"]
        {
            assert_eq!(epoch_of(other), None, "{other}");
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_detected() {
        let bytes = sample(7).encode().unwrap();
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
        }
        let mut longer = bytes;
        longer.push(b'\n');
        assert!(Manifest::decode(&longer).is_err());
    }

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let mut newer = sample(1);
        newer.format = FORMAT + 1;
        let error = Manifest::decode(&newer.encode().unwrap()).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("newer version")), "{error}");
    }
}
