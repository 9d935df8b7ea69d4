//! What a served policy says and hears.

use super::*;
use burn::tensor::Device;
use episodes::{DatasetSpec, Normaliser, VectorFeature};
use policy::{FlowConfig, FlowPolicy};
use world_model::angles::Angles;
use world_model::representation::Encoder;
use world_model::vision::VisionConfig;

#[test]
fn what_has_no_name_is_taken_only_where_there_is_one_to_be_taken_for() {
    let one: BTreeMap<String, i32> = [("observation/images/wrist".to_owned(), 1)].into();
    let found = |key: &str, expected: usize| find(&one, key, expected).copied();
    assert_eq!(found("observation.images.wrist", 2), Some(1));
    assert_eq!(found("observation.images.top", 2), None, "another camera's picture");
    assert_eq!(found("observation.images.top", 1), Some(1));
}

#[test]
fn a_prompt_unlike_every_task_is_told_once_and_a_known_one_never() -> Result<()> {
    let device = Device::default();
    let vector = |key: &str| VectorFeature { key: key.into(), names: vec!["x".into()], offset: 0, len: 1 };
    let texts = ["open the drawer", "close the drawer"];
    let spec = BundleSpec {
        format_version: FORMAT_VERSION,
        kind: "flow".into(),
        dataset: DatasetSpec {
            source: String::new(),
            codebase_version: "v3.0".into(),
            robot_type: None,
            control_rate_hz: 10.0,
            state: vec![vector("observation.state")],
            hints: Vec::new(),
            action: vector("action"),
            cameras: Vec::new(),
            tasks: texts.map(str::to_owned).to_vec(),
            has_reward: false,
            has_success: false,
        },
        state_angles: Angles::none(1),
        differences: world_model::differences::Differences::NONE,
        state_normaliser: Normaliser::identity(2),
        tasks: TaskEncoder::fit(texts, 16),
        action_normaliser: Normaliser::identity(1),
        vision: VisionConfig::default(),
        hints: None,
        pretrained: None,
        farthest: Vec::new(),
        flow: FlowConfig::default(),
        policies: BTreeMap::new(),
    };
    let encoder = Encoder::new(&spec.vision, &[], &device)?;
    let policy = FlowPolicy::new(&spec.flow, 2, 1, &device);
    let (bundle, told) = (Bundle::new(spec, encoder, policy, &device), Mutex::new(BTreeSet::new()));
    let say = |prompt| doubt(&bundle, prompt, &told);
    assert_eq!(say(Some("please open that drawer")), None);
    assert_eq!(
        say(Some("water the flowers")).as_deref(),
        Some(
            "prompt 'water the flowers' is like no task that was learned (likeness 0.08); it is taken for the nearest, \
             'open the drawer'"
        )
    );
    assert_eq!(say(Some("water the flowers")), None);
    assert_eq!(say(None), None);
    Ok(())
}
