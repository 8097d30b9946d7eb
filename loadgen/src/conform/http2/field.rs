//! Header fields of HTTP/2 (HPACK, RFC 7541), as far as a check needs them.
//!
//! The idea: a name that is looked for is held against a field as it was sent, plain, in Huffman
//! code or as a number of the static table, so no field has to be decoded. Fields are written
//! plainly. There is no dynamic table: its size is set to 0 before anything is asked.

/// Names of the static table that are looked for, by their numbers (RFC 7541, appendix A).
const STATIC: [(u64, &str); 1] = [(57, "transfer-encoding")];

/// The number of `:status: 200` in the static table, and the first and last of `:status`.
const STATUS_200: u64 = 8;
const STATUS: std::ops::RangeInclusive<u64> = 8..=14;

/// Huffman code of the letters that names have (RFC 7541, appendix B): letter, code, bits.
const CODES: [(u8, u32, u32); 30] = [
    (b'-', 0x16, 6),
    (b'0', 0x0, 5),
    (b'2', 0x2, 5),
    (b'.', 0x17, 6),
    (b'a', 0x3, 5),
    (b'b', 0x23, 6),
    (b'c', 0x4, 5),
    (b'd', 0x24, 6),
    (b'e', 0x5, 5),
    (b'f', 0x25, 6),
    (b'g', 0x26, 6),
    (b'h', 0x27, 6),
    (b'i', 0x6, 5),
    (b'j', 0x74, 7),
    (b'k', 0x75, 7),
    (b'l', 0x28, 6),
    (b'm', 0x29, 6),
    (b'n', 0x2a, 6),
    (b'o', 0x7, 5),
    (b'p', 0x2b, 6),
    (b'q', 0x76, 7),
    (b'r', 0x2c, 6),
    (b's', 0x8, 5),
    (b't', 0x9, 5),
    (b'u', 0x2d, 6),
    (b'v', 0x77, 7),
    (b'w', 0x78, 7),
    (b'x', 0x79, 7),
    (b'y', 0x7a, 7),
    (b'z', 0x7b, 7),
];

/// A text as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    Plain(Vec<u8>),
    Huffman(Vec<u8>),
}

impl Text {
    fn is(&self, text: &str) -> bool {
        match self {
            Text::Plain(bytes) => bytes == text.as_bytes(),
            Text::Huffman(bytes) => *bytes == huffman(text),
        }
    }
}

/// A field as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Its number in the static table, or 0 and its name.
    number: u64,
    name: Option<Text>,
    /// Nothing where the number says the value as well.
    value: Option<Text>,
}

impl Field {
    /// Whether this is its name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        match &self.name {
            Some(sent) => sent.is(name),
            None => STATIC.contains(&(self.number, name)),
        }
    }

    /// Whether it is the status 200.
    pub(super) fn is_ok(&self) -> bool {
        let status = STATUS.contains(&self.number) && self.name.is_none();
        match &self.value {
            None => self.number == STATUS_200,
            Some(value) => status && value.is("200"),
        }
    }
}

/// Appends a field: a literal that enters no table, in plain letters (RFC 7541, 6.2.2).
pub(super) fn write(name: &str, value: &str, block: &mut Vec<u8>) {
    block.push(0);
    for text in [name, value] {
        integer(text.len(), block);
        block.extend_from_slice(text.as_bytes());
    }
}

/// An integer with a prefix of 7 bits (RFC 7541, 5.1).
fn integer(number: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = number.checked_sub(0x7f) else {
        return block.push(number as u8);
    };
    block.push(0x7f);
    while rest >= 0x80 {
        block.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// Reads the fields of a block; nothing if it is none.
pub(super) fn read(mut block: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while let Some(&first) = block.first() {
        // What the leading bits mean is RFC 7541, section 6.
        let literal_bits = match first {
            0x80.. => {
                let number = take_integer(&mut block, 7)?;
                fields.push(Field { number, name: None, value: None });
                continue;
            }
            0x40.. => 6,
            0x20.. => {
                take_integer(&mut block, 5)?;
                continue;
            }
            _ => 4,
        };
        let number = take_integer(&mut block, literal_bits)?;
        let name = if number == 0 { Some(take_text(&mut block)?) } else { None };
        let value = Some(take_text(&mut block)?);
        fields.push(Field { number, name, value });
    }
    Some(fields)
}

fn take_integer(block: &mut &[u8], bits: u32) -> Option<u64> {
    let most = (1_u64 << bits) - 1;
    let mut number = u64::from(take(block)?) & most;
    if number < most {
        return Some(number);
    }
    // More than four bytes is no length of a header block.
    for shift in [0, 7, 14, 21] {
        let byte = take(block)?;
        number += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take(block: &mut &[u8]) -> Option<u8> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    Some(*first)
}

fn take_text(block: &mut &[u8]) -> Option<Text> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = usize::try_from(take_integer(block, 7)?).ok()?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(if is_huffman { Text::Huffman(text.to_vec()) } else { Text::Plain(text.to_vec()) })
}

/// A text in Huffman code, filled up with ones (RFC 7541, 5.2).
fn huffman(text: &str) -> Vec<u8> {
    let (mut out, mut open, mut open_bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let found = CODES.iter().find(|(known, ..)| *known == letter);
        let (_, code, bits) = found.expect("only names that the table can write are looked for");
        open = open << bits | code;
        open_bits += bits;
        while open_bits >= 8 {
            open_bits -= 8;
            out.push((open >> open_bits) as u8);
            open &= (1 << open_bits) - 1;
        }
    }
    if open_bits > 0 {
        out.push((open << (8 - open_bits) | 0xff >> open_bits) as u8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huffman_code_is_that_of_the_examples_of_the_rfc() {
        // RFC 7541, C.4.1 to C.4.3 and C.6.1: texts without letters that are not in the table.
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(huffman("www.example.com"), www);
        assert_eq!(huffman("no-cache"), [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]);
        assert_eq!(huffman("custom-key"), [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]);
        assert_eq!(huffman("custom-value"), [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf]);
    }

    #[test]
    fn a_name_is_found_however_it_is_sent() {
        let mut block = vec![0x20, 0x88, 0x39 | 0x40, 0];
        write("connection", "close", &mut block);
        let name = huffman("keep-alive");
        block.extend([0x10, 0x80 | name.len() as u8]);
        block.extend(name);
        block.push(0);
        let fields = read(&block).expect("a block");
        assert_eq!(fields.len(), 4);
        assert!(fields[0].is_ok() && !fields[1].is_ok());
        for (field, name) in
            fields[1..].iter().zip(["transfer-encoding", "connection", "keep-alive"])
        {
            assert!(field.is_named(name) && !field.is_named("upgrade"), "{name}");
        }
    }

    #[test]
    fn a_block_that_breaks_off_is_none() {
        let mut block = Vec::new();
        write("x", &"y".repeat(300), &mut block);
        assert_eq!(read(&block).map(|fields| fields.len()), Some(1));
        for end in 1..block.len() {
            assert_eq!(read(&block[..end]), None, "{end}");
        }
    }
}
