//! Requests and replies against bytes written by the Python client's packer (`golden/make_golden.py`).

use std::collections::BTreeMap;

use serve::{Observation, Reply, Timing};

const REQUEST: &[u8] = include_bytes!("golden/request.msgpack");
const REPLY: &[u8] = include_bytes!("golden/reply.msgpack");

#[test]
fn a_request_of_the_python_client_is_read() {
    let observation = Observation::decode(REQUEST).expect("the golden request is valid");
    let vectors: Vec<(&str, &[f32])> =
        observation.vectors.iter().map(|(key, values)| (key.as_str(), values.as_slice())).collect();
    assert_eq!(
        vectors,
        [
            ("counts", [-1.0, 2.0].as_slice()),
            ("gripper", &[0.5]),
            ("gripper_position", &[0.125]),
            ("observation.state", &[1.5, -2.0]),
            ("observation/joint_position", &[0.25, 0.5, 0.75]),
            ("pose", &[1.0, 2.5, 1.0]),
            ("step", &[7.0]),
        ]
    );
    let rgb: Vec<u8> = (0..24).collect();
    assert_eq!(observation.images.keys().collect::<Vec<_>>(), ["images/cam_high", "observation.image"]);
    for image in observation.images.values() {
        assert_eq!((image.height, image.width, &image.rgb), (2, 4, &rgb));
    }
    assert_eq!(observation.prompt.as_deref(), Some("push the block"));
    assert_eq!(observation.ignored.keys().collect::<Vec<_>>(), ["half", "images/depth"]);
    assert!(observation.ignored["half"].contains("<f2"));
}

#[test]
fn a_reply_is_byte_for_byte_what_python_packs() {
    let reply = Reply {
        actions: (0..6u8).map(f32::from).collect(),
        horizon: 3,
        action_len: 2,
        extra: BTreeMap::from([("value".to_owned(), 0.5), ("disagreement".to_owned(), 0.25)]),
    };
    let bytes = reply.encode(&Timing { infer_ms: 1.5, prev_total_ms: Some(2.5) }).expect("the reply is valid");
    assert_eq!(bytes, REPLY);
}

#[test]
fn a_reply_reads_back_as_an_observation() {
    let back = Observation::decode(REPLY).expect("a reply is a map of entries too");
    assert_eq!(back.vectors["server_timing/infer_ms"], [1.5]);
    assert_eq!(back.vectors["value"], [0.5]);
    assert!(back.ignored["actions"].contains("F32 of shape [3, 2]"), "{:?}", back.ignored);
}

#[test]
fn every_cut_of_a_request_is_refused_in_words() {
    for len in 0..REQUEST.len() {
        let error = Observation::decode(&REQUEST[..len]).expect_err("a part of a message is not a message");
        assert!(error.to_string().starts_with("the request could not be read: expected one msgpack map"), "{error}");
    }
    let mut long = REQUEST.to_vec();
    long.push(0);
    assert!(Observation::decode(&long).is_err());
}

#[test]
fn no_changed_byte_can_do_harm() {
    for at in 0..REQUEST.len() {
        for value in [0x00, 0x7f, 0x80, 0xc1, 0xc6, 0xdf, 0xff] {
            let mut bytes = REQUEST.to_vec();
            bytes[at] = value;
            _ = Observation::decode(&bytes);
        }
    }
}

#[test]
fn an_image_without_pixels_is_refused() {
    let at = REQUEST.windows(3).position(|window| window == [0x93, 2, 4]).expect("the shape [2, 4, 3] is there");
    let mut bytes = REQUEST.to_vec();
    bytes[at + 1] = 0;
    let error = Observation::decode(&bytes).expect_err("24 bytes do not fit 0 rows");
    assert!(error.to_string().contains("found 24 bytes of data, but shape [0, 4, 3]"), "{error}");
    let empty = b"\x81\xa1x\x84\xab__ndarray__\xc3\xa4data\xc4\x00\xa5dtype\xa3|u1\xa5shape\x93\x00\x04\x03";
    let error = Observation::decode(empty).expect_err("no pixels");
    assert!(error.to_string().contains("an image of 0 x 4 pixels"), "{error}");
}
