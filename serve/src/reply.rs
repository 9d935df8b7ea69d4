//! What a robot gets: a chunk of actions, plain numbers beside it, and how long it took.

use std::collections::BTreeMap;

use rmpv::{Value, ValueRef};

use crate::ndarray::{self, Packed};
use crate::{Error, Observation};

/// One answer of a policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// `[horizon, action_len]`, in the robot's own units, first action first.
    pub actions: Vec<f32>,
    /// Number of actions in the chunk, at least 1.
    pub horizon: usize,
    /// Numbers per action, at least 1.
    pub action_len: usize,
    /// Values, uncertainties and the like. They travel as plain numbers: clients that play a chunk step by
    /// step index *every* array of the reply by the step.
    pub extra: BTreeMap<String, f64>,
}

/// How long one answer took, sent beside it as `server_timing`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Time inside the policy, milliseconds.
    pub infer_ms: f64,
    /// From having received the previous request to having sent its reply, milliseconds; absent at first.
    pub prev_total_ms: Option<f64>,
}

impl Reply {
    /// Checks that the reply may be sent to a robot.
    ///
    /// # Errors
    /// [`Error::Reply`] when `actions` is empty, has another length than `horizon * action_len` or holds a
    /// NaN or infinity (no robot should move to those), or when `extra` uses a key of the protocol.
    pub fn check(&self) -> Result<(), Error> {
        let (found, horizon, action_len) = (self.actions.len(), self.horizon, self.action_len);
        if found == 0 || horizon.checked_mul(action_len) != Some(found) {
            return Err(Error::reply(format!(
                "expected {horizon} actions of {action_len} numbers, found {found} numbers"
            )));
        }
        if let Some(at) = self.actions.iter().position(|value| !value.is_finite()) {
            let (step, element, value) = (at / action_len, at % action_len, self.actions[at]);
            return Err(Error::reply(format!("element {element} of action {step} is {value}")));
        }
        match self.extra.keys().find(|key| matches!(key.as_str(), "actions" | "server_timing")) {
            None => Ok(()),
            Some(key) => {
                Err(Error::reply(format!("the extra number \"{key}\" has the name of a part of the protocol")))
            }
        }
    }

    /// Reads what a server answers: `actions` of shape `[horizon, action_len]` or `[action_len]`, and the plain numbers beside.
    ///
    /// # Errors
    /// [`Error::Request`] and [`Error::Entry`] for bytes that are no map or arrays that contradict themselves,
    /// [`Error::Reply`] when there are no actions, or as [`Reply::check`].
    pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
        // The numbers beside the actions are entries as in an observation.
        let beside = Observation::decode(bytes)?;
        let value = rmpv::decode::read_value_ref(&mut &*bytes).map_err(|error| Error::reply(error.to_string()))?;
        let entries = if let ValueRef::Map(entries) = &value { entries.as_slice() } else { &[] };
        let actions = entries.iter().find(|(key, _)| ndarray::text(key) == Some("actions"));
        let Some((_, ValueRef::Map(actions))) = actions else {
            return Err(Error::reply("it has no array \"actions\""));
        };
        let Packed::Array(array) = ndarray::unpack("actions", actions)? else {
            return Err(Error::reply("its \"actions\" are no array"));
        };
        let dtype =
            array.dtype.map_err(|name| Error::reply(format!("its \"actions\" are {name}, which is not read")))?;
        let (horizon, action_len) = match array.shape[..] {
            [action_len] => (1, action_len),
            [horizon, action_len] => (horizon, action_len),
            _ => {
                return Err(Error::reply(format!(
                    "its \"actions\" have shape {:?}, not [steps, numbers]",
                    array.shape
                )));
            }
        };
        let extra =
            beside.vectors.into_iter().filter(|(key, _)| key != "actions" && !key.starts_with("server_timing/"));
        let extra =
            extra.filter_map(|(key, values)| Some((key, f64::from(*values.first().filter(|_| values.len() == 1)?))));
        let actions = ndarray::to_f32(dtype, array.data);
        let reply = Reply { actions, horizon, action_len, extra: extra.collect() };
        reply.check()?;
        Ok(reply)
    }

    /// Writes the reply as msgpack: `actions`, then `extra`, then `server_timing`.
    ///
    /// # Errors
    /// As [`Reply::check`].
    pub fn encode(&self, timing: &Timing) -> Result<Vec<u8>, Error> {
        self.check()?;
        let mut entries =
            vec![(Value::from("actions"), ndarray::pack_f32(&self.actions, &[self.horizon, self.action_len]))];
        entries.extend(self.extra.iter().map(|(key, value)| (Value::from(key.as_str()), Value::from(*value))));
        let mut times = vec![(Value::from("infer_ms"), Value::from(timing.infer_ms))];
        times.extend(timing.prev_total_ms.map(|total| (Value::from("prev_total_ms"), Value::from(total))));
        entries.push((Value::from("server_timing"), Value::Map(times)));
        pack(&Value::Map(entries))
    }
}

/// Writes the metadata a server sends when a robot connects; null is the empty map.
///
/// # Errors
/// [`Error::Metadata`] when it is neither an object nor null.
pub(crate) fn encode_metadata(metadata: &serde_json::Value) -> Result<Vec<u8>, Error> {
    let found = match metadata {
        serde_json::Value::Null => return pack(&Value::Map(Vec::new())),
        serde_json::Value::Object(_) => return pack(&from_json(metadata)),
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "text",
        serde_json::Value::Array(_) => "a list",
    };
    Err(Error::Metadata { found })
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(integer), _) => Value::from(integer),
            (_, Some(integer)) => Value::from(integer),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (Value::from(key.as_str()), from_json(value))).collect())
        }
    }
}

pub(crate) fn pack(value: &Value) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).map_err(|error| Error::reply(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_never_receives_a_broken_chunk() {
        let good = Reply { actions: vec![0.0; 6], horizon: 3, action_len: 2, extra: BTreeMap::new() };
        assert!(good.check().is_ok());
        let text = |reply: &Reply| reply.check().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            text(&Reply { horizon: 2, ..good.clone() }).contains("expected 2 actions of 2 numbers, found 6 numbers")
        );
        assert!(text(&Reply::default()).contains("found 0 numbers"));
        let nan = Reply { actions: vec![0.0, 0.0, 0.0, f32::NAN, 0.0, 0.0], ..good.clone() };
        assert!(text(&nan).contains("element 1 of action 1 is NaN"));
        let clash = Reply { extra: BTreeMap::from([("actions".to_owned(), 1.0)]), ..good };
        assert!(text(&clash).contains("\"actions\""));
    }

    #[test]
    fn what_is_sent_is_what_is_read() -> Result<(), Error> {
        let extra = BTreeMap::from([("value".to_owned(), 0.5)]);
        let reply = Reply { actions: vec![1.0, -2.0, 3.5, 4.0, 5.0, 6.0], horizon: 3, action_len: 2, extra };
        let timing = Timing { infer_ms: 1.0, prev_total_ms: Some(2.0) };
        assert_eq!(Reply::decode(&reply.encode(&timing)?)?, reply);
        let rgb: Vec<u8> = (0..24).collect();
        let observation = Observation {
            vectors: BTreeMap::from([("observation.state".to_owned(), vec![0.25, -1.0])]),
            images: BTreeMap::from([("observation.image".to_owned(), crate::Camera { height: 2, width: 4, rgb })]),
            prompt: Some("push".to_owned()),
            ..Observation::default()
        };
        let bytes = observation.encode()?;
        assert_eq!(Observation::decode(&bytes)?, observation);
        let none = Reply::decode(&bytes).expect_err("an observation is no reply").to_string();
        assert!(none.contains("no array \"actions\""), "{none}");
        Ok(())
    }

    #[test]
    fn metadata_is_a_map() {
        assert_eq!(encode_metadata(&serde_json::Value::Null).ok(), Some(vec![0x80]));
        assert_eq!(
            encode_metadata(&serde_json::json!({"a": [1, -1, true]})).ok(),
            Some(vec![0x81, 0xa1, b'a', 0x93, 1, 0xff, 0xc3])
        );
        assert!(encode_metadata(&serde_json::json!([1])).is_err());
    }
}
