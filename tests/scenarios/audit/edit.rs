//! A trace as a forger holds it: any tensor and any line of the graph can be changed, and the digest made right again.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use weighbridge_attest_types::sha256;

/// Graph and tensors, to be changed.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) graph: Value,
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Step {
    /// Reads a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        let file = read("tensors.safetensors");
        let (length, rest) = file.split_first_chunk::<8>().expect("a safetensors file");
        let length = usize::try_from(u64::from_le_bytes(*length)).expect("a short header");
        let header = serde_json::from_slice(&rest[..length]).expect("a header");
        Self {
            graph: serde_json::from_slice(&read("graph.json")).expect("a graph"),
            header,
            data: rest[length..].to_vec(),
        }
    }

    /// The graph as bytes, with the digest of the tensors as they are now; and the tensors' file.
    pub(super) fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let header = serde_json::to_vec(&self.header).expect("a header");
        let file = [&(header.len() as u64).to_le_bytes()[..], &header, &self.data].concat();
        let mut graph = self.graph.clone();
        graph["tensors_sha256"] = json!(sha256(&file));
        (graph.to_string().into_bytes(), file)
    }

    fn range(&self, tensor: &str) -> std::ops::Range<usize> {
        let offsets = &self.header[tensor]["data_offsets"];
        let at = |place: usize| usize::try_from(offsets[place].as_u64().expect("an offset")).expect("small");
        at(0)..at(1)
    }

    /// Bytes of a tensor, to read or to change.
    pub(super) fn tensor(&mut self, name: &str) -> &mut [u8] {
        let range = self.range(name);
        &mut self.data[range]
    }

    /// What the header says of a tensor.
    pub(super) fn described(&mut self, name: &str) -> &mut Value {
        self.header.get_mut(name).expect("a tensor")
    }

    /// Overwrites one tensor with another of the same size.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        let bytes = self.tensor(from).to_vec();
        self.tensor(to).copy_from_slice(&bytes);
    }

    /// The operation of a name.
    pub(super) fn operation(&mut self, name: &str) -> &mut Value {
        let operations = self.graph["operations"].as_array_mut().expect("operations");
        operations.iter_mut().find(|operation| operation["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// The first operation of a kind.
    pub(super) fn first(&mut self, op: &str) -> &mut Value {
        let operations = self.graph["operations"].as_array_mut().expect("operations");
        operations.iter_mut().find(|operation| operation["op"] == op).unwrap_or_else(|| panic!("no {op}"))
    }

    /// A file with some tensors under other names: a checkpoint.
    pub(super) fn checkpoint(&self, rename: impl Fn(&str) -> Option<String>) -> Vec<u8> {
        let (mut header, mut data) = (Map::new(), Vec::new());
        for (name, row) in &self.header {
            let Some(name) = rename(name) else { continue };
            let range = row["data_offsets"].clone();
            let at = |place: usize| usize::try_from(range[place].as_u64().expect("an offset")).expect("small");
            let offsets = [data.len(), data.len() + at(1) - at(0)];
            data.extend(&self.data[at(0)..at(1)]);
            header.insert(name, json!({"dtype": row["dtype"], "shape": row["shape"], "data_offsets": offsets}));
        }
        let header = serde_json::to_vec(&header).expect("a header");
        [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
    }
}
