//! Which task an episode is about: its text as a few numbers, fitted to the texts of the training episodes alone.
//!
//! A text is a bag of words, pairs of neighbouring words (who is put on whom), and letter triples of each word (so that
//! `lifting` is near `lift`). Each counts by `idf = ln(K / df)` over the `K` different texts (Spärck Jones 1972): what all
//! tasks say tells nothing and weighs 0, and so does what none says. The unit-length bags, centred, are projected on
//! their principal directions and scaled to variance 1: with two tasks that is one element, +1 and -1. Another wording with the same
//! telling words lands near the text it means, and a new combination of known words between and beside the texts it is
//! made of. Nothing is downloaded and nothing but the texts needs to be kept: the same texts give the same numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Conditioning on the task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// Whether the task is part of the embedding.
    pub when: When,
    /// Most elements it takes; one less than there are texts is always enough.
    pub elements: usize,
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self { when: When::Auto, elements: 16 }
    }
}

/// When model, policy and value know the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Where the training episodes of the main dataset have more than one text.
    #[default]
    Auto,
    /// Where all training episodes have more than one text, those of companions too.
    Always,
    /// Not at all.
    Never,
}

/// Text to code, fitted to the texts of the tasks that were learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Texts", into = "Texts")]
pub struct TaskEncoder {
    texts: Vec<String>,
    elements: usize,
    /// Position of each text by its words.
    positions: BTreeMap<Vec<String>, usize>,
    vocabulary: BTreeMap<String, Entry>,
    /// Per text its features by `ln((K+1) / df)`, unit length: for likeness, where what all say counts a little.
    likenesses: Vec<Vec<(usize, f64)>>,
    /// `[V, D]`.
    projection: Vec<f64>,
    /// `[D]`.
    offset: Vec<f64>,
}

/// What is kept of an encoder: everything else follows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    texts: Vec<String>,
    elements: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    index: usize,
    /// Texts that have it.
    texts: usize,
}

/// What a text means to a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard<'a> {
    /// Its code `[D]`.
    pub code: Vec<f32>,
    /// The learned text it is most like.
    pub nearest: &'a str,
    /// Cosine of the two, 0 to 1.
    pub likeness: f64,
    /// It was understood; if not, `code` is that of `nearest`: a policy has learned nothing about what lies far from all texts.
    pub is_understood: bool,
}

/// Weights of a word, of a pair of neighbours, and of all letter triples of a word together.
const WORD: f64 = 1.0;
const PAIR: f64 = 0.5;
const LETTERS: f64 = 0.5;
/// Texts less alike than this share little but words like `the`: see the test of wordings.
const LEAST_LIKENESS: f64 = 0.25;
/// Rounds of subspace iteration: always so many, so that close eigenvalues cannot make two machines disagree.
const ROUNDS: usize = 40;
/// A direction with less of the variance than this is rounding.
const LEAST_VARIANCE: f64 = 1e-9;

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The features of a text and their weights.
fn features(text: &str) -> BTreeMap<String, f64> {
    let words = words(text);
    let mut out = BTreeMap::new();
    for pair in words.windows(2) {
        out.insert(pair.join(" "), PAIR);
    }
    for word in &words {
        let letters: Vec<char> = format!("<{word}>").chars().collect();
        let triples: BTreeSet<String> = letters.windows(3).map(|triple| triple.iter().collect()).collect();
        let weight = LETTERS / (triples.len().max(1) as f64).sqrt();
        // Longer than three and without a blank, so that no triple is taken for a word or a pair.
        out.extend(triples.into_iter().map(|triple| (format!("…{triple}"), weight)));
        out.insert(word.clone(), WORD);
    }
    out
}

fn unit(mut row: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    let norm = row.iter().map(|(_, x)| x * x).sum::<f64>().sqrt();
    row.retain(|(_, x)| *x > 0.0);
    row.iter_mut().for_each(|(_, x)| *x /= norm);
    row
}

impl TaskEncoder {
    /// Fits to texts; those that differ in case and punctuation alone are one, an empty one is none. `None` where fewer
    /// than two are left: there is nothing to tell apart.
    pub fn fit<'a>(texts: impl IntoIterator<Item = &'a str>, elements: usize) -> Option<Self> {
        let mut positions = BTreeMap::new();
        let mut different = Vec::new();
        for text in texts {
            let words = words(text);
            if !words.is_empty() && !positions.contains_key(&words) {
                positions.insert(words, different.len());
                different.push(text.to_owned());
            }
        }
        let texts = different;
        if texts.len() < 2 || elements == 0 {
            return None;
        }
        let bags: Vec<BTreeMap<String, f64>> = texts.iter().map(|text| features(text)).collect();
        let mut vocabulary: BTreeMap<String, Entry> = BTreeMap::new();
        for feature in bags.iter().flat_map(BTreeMap::keys) {
            let index = vocabulary.len();
            vocabulary.entry(feature.clone()).or_insert(Entry { index, texts: 0 }).texts += 1;
        }
        let mut encoder =
            Self { texts, elements, positions, vocabulary, likenesses: vec![], projection: vec![], offset: vec![] };
        encoder.likenesses = bags.iter().map(|bag| unit(encoder.weighted(bag, 1))).collect();
        let rows: Vec<Vec<(usize, f64)>> = bags.iter().map(|bag| unit(encoder.weighted(bag, 0))).collect();
        encoder.project(&rows);
        (!encoder.offset.is_empty()).then_some(encoder)
    }

    /// Known features of a bag, by `ln((K + more) / df)`.
    fn weighted(&self, bag: &BTreeMap<String, f64>, more: usize) -> Vec<(usize, f64)> {
        let texts = (self.texts.len() + more) as f64;
        bag.iter()
            .filter_map(|(feature, weight)| {
                let entry = self.vocabulary.get(feature)?;
                Some((entry.index, weight * (texts / entry.texts as f64).ln()))
            })
            .collect()
    }

    /// Principal directions of the centred rows, one after the other by power iteration in the space of texts.
    fn project(&mut self, rows: &[Vec<(usize, f64)>]) {
        let (texts, width) = (rows.len(), self.vocabulary.len());
        let mut mean = vec![0.0; width];
        rows.iter().flatten().for_each(|&(i, x)| mean[i] += x / texts as f64);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let direction = |u: &[f64]| {
            let mut v = vec![0.0; width];
            rows.iter().zip(u).for_each(|(row, u)| row.iter().for_each(|&(i, x)| v[i] += x * u));
            let sum: f64 = u.iter().sum();
            v.iter_mut().zip(&mean).for_each(|(v, mean)| *v -= mean * sum);
            v
        };
        let scores = |v: &[f64]| -> Vec<f64> {
            let centre = dot(&mean, v);
            rows.iter().map(|row| row.iter().map(|&(i, x)| x * v[i]).sum::<f64>() - centre).collect()
        };
        let (mut found, mut directions, mut total): (Vec<Vec<f64>>, Vec<(Vec<f64>, f64)>, f64) = Default::default();
        for j in 0..self.elements.min(texts - 1) {
            // Any start will do that is not special; this one is the same everywhere.
            let start = |k: usize| ((k * (j + 1) + j) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let mut u: Vec<f64> = (0..texts).map(|k| start(k + 1) as f64 / f64::from(1 << 24) - 0.5).collect();
            let mut size = 0.0;
            for _ in 0..ROUNDS {
                u = scores(&direction(&u));
                for before in &found {
                    let share = dot(&u, before);
                    u.iter_mut().zip(before).for_each(|(u, before)| *u -= share * before);
                }
                size = dot(&u, &u).sqrt();
                u.iter_mut().for_each(|x| *x /= size.max(f64::MIN_POSITIVE));
            }
            if size <= LEAST_VARIANCE * (total + size) {
                break;
            }
            total += size;
            let v = direction(&u);
            let scored = scores(&v);
            directions.push((v, (dot(&scored, &scored) / texts as f64).sqrt()));
            found.push(u);
        }
        self.offset = directions.iter().map(|(v, scale)| dot(&mean, v) / scale).collect();
        self.projection = (0..width).flat_map(|i| directions.iter().map(move |(v, scale)| v[i] / scale)).collect();
    }

    /// The texts that were learned.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Elements `D` of a code.
    pub fn code_len(&self) -> usize {
        self.offset.len()
    }

    /// The code `[D]` of a text, and the learned text it is most like.
    pub fn hear(&self, text: &str) -> Heard<'_> {
        if let Some(&at) = self.positions.get(&words(text)) {
            let nearest = self.texts[at].as_str();
            return Heard { code: self.code(nearest), nearest, likeness: 1.0, is_understood: true };
        }
        let bag = features(text);
        let (k, known) = ((self.texts.len() + 1) as f64, self.weighted(&bag, 1));
        // What no text says counts as what one says: a sentence of new words is unlike all.
        let new = bag.iter().filter(|(feature, _)| !self.vocabulary.contains_key(*feature));
        let new: f64 = new.map(|(_, weight)| (weight * k.ln()).powi(2)).sum();
        let norm = (known.iter().map(|(_, x)| x * x).sum::<f64>() + new).sqrt().max(f64::MIN_POSITIVE);
        let mut spread = vec![0.0; self.vocabulary.len()];
        known.iter().for_each(|&(i, x)| spread[i] = x / norm);
        let (mut at, mut likeness) = (0, f64::MIN);
        for (i, row) in self.likenesses.iter().enumerate() {
            let cosine = row.iter().map(|&(f, x)| x * spread[f]).sum::<f64>();
            if cosine > likeness {
                (at, likeness) = (i, cosine);
            }
        }
        let nearest = self.texts[at].as_str();
        let is_understood = likeness >= LEAST_LIKENESS && self.weighted(&bag, 0).iter().any(|(_, x)| *x > 0.0);
        Heard { code: self.code(if is_understood { text } else { nearest }), nearest, likeness, is_understood }
    }

    fn code(&self, text: &str) -> Vec<f32> {
        let mut code: Vec<f64> = self.offset.iter().map(|x| -x).collect();
        for (i, x) in unit(self.weighted(&features(text), 0)) {
            let of = &self.projection[i * code.len()..(i + 1) * code.len()];
            code.iter_mut().zip(of).for_each(|(code, p)| *code += x * p);
        }
        code.into_iter().map(|x| x as f32).collect()
    }
}

impl From<TaskEncoder> for Texts {
    fn from(encoder: TaskEncoder) -> Self {
        Self { texts: encoder.texts, elements: encoder.elements }
    }
}

impl TryFrom<Texts> for TaskEncoder {
    type Error = String;

    fn try_from(Texts { texts, elements }: Texts) -> Result<Self, String> {
        Self::fit(texts.iter().map(String::as_str), elements).ok_or_else(|| {
            format!("{} task texts in {elements} elements; expected two that differ in at least one", texts.len())
        })
    }
}

#[cfg(test)]
mod tests;
