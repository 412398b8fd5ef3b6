//! **Duty.** The JSON of a trace as it stands there: strict fields, nothing repeated, counts and names bounded. **Knows**
//! the form. **Does not know** whether tensors or operations fit together. **Spec.** docs/trace-format.md,
//! docs/schemas/trace-v1.schema.json.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize as DeriveDeserialize, Serialize as DeriveSerialize};
use weighbridge_attest_types::Digest32;

use crate::trace::error::TraceError;
use crate::trace::view::MAX_VIEW_RANK;

/// What `format` says.
pub const TRACE_FORMAT: &str = "weighbridge/trace/v1";
/// Longest graph. 2²⁰ operations, the most that a key can count, of some 200 bytes are 200 MiB; a step of the deepest
/// published models has below 10⁵, which is 20 MB.
pub const MAX_GRAPH_BYTES: usize = 64 * 1024 * 1024;
/// Most operations: 20 bits of a key (PROTOCOL §3).
pub const MAX_OPERATIONS: usize = 1 << 20;
/// Most tensors: an operation has at most three outputs on average, and names are kept in memory.
pub const MAX_TENSORS: usize = 1 << 21;
/// Longest name: that of the tensors' file.
const MAX_NAME_BYTES: usize = 1024;
/// Most operands of one operation: clipping sees each parameter once, and the deepest published models have fewer tensors.
pub const MAX_OPERANDS: usize = 1 << 14;
/// Most parameters of one operation; `adamw` has seven.
const MAX_PARAMETERS: usize = 16;
/// Longest parameter: the digits of a 64-bit float that give it back are at most 24.
const MAX_PARAMETER_BYTES: usize = 40;

/// A graph as it stands in JSON.
#[derive(Debug, Clone, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graph {
    pub(crate) format: String,
    pub(crate) framework: String,
    pub(crate) unit: GraphUnit,
    pub(crate) tensors_sha256: Digest32,
    pub(crate) tensors: Vec<GraphTensor>,
    pub(crate) operations: Vec<GraphOperation>,
}

/// Where in a run the operations belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphUnit {
    pub(crate) attempt: u16,
    pub(crate) step: u64,
    pub(crate) rank: u32,
}

/// A tensor of the file.
#[derive(Debug, Clone, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphTensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<String>,
}

/// An operation: operands and outputs by their role, numbers by their name.
#[derive(Debug, Clone, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphOperation {
    pub(crate) op: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) micro_batch: u16,
    #[serde(rename = "in")]
    pub(crate) inputs: Entries<GraphOperand>,
    #[serde(rename = "out")]
    pub(crate) outputs: Entries<GraphOperand>,
    #[serde(default, rename = "with", skip_serializing_if = "Entries::is_empty")]
    pub(crate) parameters: Entries<String>,
}

/// A tensor, or a view of it.
#[derive(Debug, Clone, PartialEq, Eq, DeriveSerialize, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphOperand {
    pub(crate) tensor: String,
    #[serde(default, skip_serializing_if = "is_start")]
    pub(crate) offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shape: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) strides: Option<Vec<u64>>,
}

/// A JSON object in its order; a key that stands twice is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_first(micro_batch: &u16) -> bool {
    *micro_batch == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_start(offset: &u64) -> bool {
    *offset == 0
}

impl Graph {
    /// Parses and bounds.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TraceError> {
        if bytes.len() > MAX_GRAPH_BYTES {
            return Err(TraceError::TooLarge { found: bytes.len(), cap: MAX_GRAPH_BYTES });
        }
        let graph: Self = serde_json::from_slice(bytes).map_err(TraceError::Json)?;
        if graph.format != TRACE_FORMAT {
            return Err(TraceError::Format { found: clipped(&graph.format) });
        }
        graph.bound()?;
        Ok(graph)
    }

    /// Counts and names within their caps.
    pub(crate) fn bound(&self) -> Result<(), TraceError> {
        count("operations", self.operations.len(), MAX_OPERATIONS)?;
        count("tensors", self.tensors.len(), MAX_TENSORS)?;
        name(&self.framework)?;
        self.tensors.iter().try_for_each(GraphTensor::bound)?;
        self.operations.iter().try_for_each(GraphOperation::bound)
    }
}

fn count(what: &'static str, found: usize, cap: usize) -> Result<(), TraceError> {
    if found > cap { Err(TraceError::TooMany { what, found, cap }) } else { Ok(()) }
}

impl GraphTensor {
    /// Names within their cap.
    pub(crate) fn bound(&self) -> Result<(), TraceError> {
        let Self { name: own, dtype: _, shape: _, before, after, batch } = self;
        [Some(own), before.as_ref(), after.as_ref(), batch.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|text| name(text))
    }
}

impl GraphOperation {
    /// Counts and names within their caps.
    pub(crate) fn bound(&self) -> Result<(), TraceError> {
        name(&self.name)?;
        name(&self.op)?;
        for Entries(operands) in [&self.inputs, &self.outputs] {
            count("operands of one operation", operands.len(), MAX_OPERANDS)?;
            operands.iter().try_for_each(|(role, operand)| name(role).and_then(|()| operand.bound()))?;
        }
        let Entries(parameters) = &self.parameters;
        count("parameters of one operation", parameters.len(), MAX_PARAMETERS)?;
        for (key, value) in parameters {
            name(key)?;
            count("bytes of a parameter", value.len(), MAX_PARAMETER_BYTES)?;
        }
        Ok(())
    }
}

impl GraphOperand {
    /// All of a tensor.
    pub(crate) fn whole(tensor: &str) -> Self {
        Self { tensor: tensor.to_owned(), offset: 0, shape: None, strides: None }
    }

    fn bound(&self) -> Result<(), TraceError> {
        name(&self.tensor)?;
        let rank = |list: &Option<Vec<u64>>| list.as_ref().map_or(0, Vec::len);
        match rank(&self.shape).max(rank(&self.strides)) {
            found if found > MAX_VIEW_RANK => {
                Err(TraceError::TooMany { what: "dimensions of a view", found, cap: MAX_VIEW_RANK })
            }
            _ => Ok(()),
        }
    }
}

fn name(text: &str) -> Result<(), TraceError> {
    if text.len() > MAX_NAME_BYTES {
        return Err(TraceError::TooMany { what: "bytes of a name", found: text.len(), cap: MAX_NAME_BYTES });
    }
    Ok(())
}

/// The start of a text from outside, for an error.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<T> Entries<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Entries<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose keys stand once")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                refuse_repeated(&entries).map_err(serde::de::Error::custom)?;
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

fn refuse_repeated<T>(entries: &[(String, T)]) -> Result<(), String> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    match keys.array_windows().find(|[left, right]| left == right) {
        Some([key, _]) => Err(format!("the key {:?} stands twice", clipped(key))),
        None => Ok(()),
    }
}
