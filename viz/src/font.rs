//! A bitmap font of 5 x 7 dots, just large enough to label a picture.

/// Height of a letter, dots.
pub(crate) const HEIGHT: u32 = 7;
/// Width of a letter, dots.
const WIDTH: u32 = 5;
/// From one letter to the next, dots.
const ADVANCE: u32 = 6;

/// Character and its dots: bit 34 is the top left one, bit 0 the bottom right one, row by row. Letters are
/// capitals only; what is missing is drawn as a question mark.
const GLYPHS: &[(char, u64)] = &[
    (' ', 0x000000000),
    ('!', 0x108421004),
    ('"', 0x294000000),
    ('#', 0x295f57d4a),
    ('%', 0x672222273),
    ('&', 0x32544564d),
    ('\'', 0x108000000),
    ('(', 0x088842082),
    (')', 0x208210888),
    ('*', 0x02aefbaa0),
    ('+', 0x0084f9080),
    (',', 0x000001088),
    ('-', 0x0000f8000),
    ('.', 0x00000018c),
    ('/', 0x042222210),
    ('0', 0x3a33ae62e),
    ('1', 0x11842108e),
    ('2', 0x3a211111f),
    ('3', 0x7c441062e),
    ('4', 0x08ca97c42),
    ('5', 0x7e1e0862e),
    ('6', 0x1910f462e),
    ('7', 0x7c2222108),
    ('8', 0x3a317462e),
    ('9', 0x3a317844c),
    (':', 0x018c03180),
    (';', 0x018c03088),
    ('<', 0x088882082),
    ('=', 0x001f07c00),
    ('>', 0x208208888),
    ('?', 0x3a2111004),
    ('@', 0x3a37ade0e),
    ('A', 0x3a31fc631),
    ('B', 0x7a31f463e),
    ('C', 0x3a308422e),
    ('D', 0x72518c65c),
    ('E', 0x7e10f421f),
    ('F', 0x7e10f4210),
    ('G', 0x3a30bc62f),
    ('H', 0x4631fc631),
    ('I', 0x38842108e),
    ('J', 0x1c4210a4c),
    ('K', 0x4654c5251),
    ('L', 0x42108421f),
    ('M', 0x4775ac631),
    ('N', 0x47359c631),
    ('O', 0x3a318c62e),
    ('P', 0x7a31f4210),
    ('Q', 0x3a318d64d),
    ('R', 0x7a31f5251),
    ('S', 0x3e107043e),
    ('T', 0x7c8421084),
    ('U', 0x46318c62e),
    ('V', 0x46318c544),
    ('W', 0x4631ad771),
    ('X', 0x462a22a31),
    ('Y', 0x462a21084),
    ('Z', 0x7c222221f),
    ('[', 0x39084210e),
    ('\\', 0x420820821),
    (']', 0x38421084e),
    ('^', 0x115100000),
    ('_', 0x00000001f),
    ('|', 0x108421084),
    ('~', 0x0008a8800),
];

/// Width of a line of text, dots.
pub(crate) fn width(text: &str) -> u32 {
    text.chars().count() as u32 * ADVANCE
}

/// Calls `dot(x, y)` for every dot of a line of text, from its top left corner.
pub(crate) fn draw(text: &str, mut dot: impl FnMut(u32, u32)) {
    for (position, character) in text.chars().enumerate() {
        let bits = glyph(character);
        for index in (0..WIDTH * HEIGHT).filter(|index| bits >> (WIDTH * HEIGHT - 1 - index) & 1 == 1) {
            dot(position as u32 * ADVANCE + index % WIDTH, index / WIDTH);
        }
    }
}

fn glyph(character: char) -> u64 {
    let wanted = character.to_ascii_uppercase();
    let find = |wanted: char| GLYPHS.iter().find(|(found, _)| *found == wanted).map(|(_, bits)| *bits);
    find(wanted).or_else(|| find('?')).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_looks_like_itself() {
        let mut rows = vec![['.'; 11]; HEIGHT as usize];
        draw("Lt", |x, y| rows[y as usize][x as usize] = '#');
        let rows: Vec<String> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
        assert_eq!(
            rows,
            ["#.....#####", "#.......#..", "#.......#..", "#.......#..", "#.......#..", "#.......#..", "#####...#.."]
        );
        assert_eq!(width("Lt"), 12);
        assert_eq!(glyph('é'), glyph('?'));
    }
}
