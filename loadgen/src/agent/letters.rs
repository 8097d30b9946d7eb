//! A letter for each event of a run, written short: `a1200ra17` is 1,200 times `a`, `r`, 17 times `a`.
//!
//! The idea: nearly all events fare alike, so what there is to say of millions of them takes some
//! bytes. Where it does not, a letter takes two at most.

/// Writes letters, each row of equal ones with its length behind it, if that is not 1.
pub(crate) fn write(letters: impl IntoIterator<Item = u8>) -> String {
    let mut text = String::new();
    let mut row: Option<(u8, u32)> = None;
    let mut close = |row: Option<(u8, u32)>| {
        if let Some((letter, count)) = row {
            text.push(char::from(letter));
            if count > 1 {
                text += &count.to_string();
            }
        }
    };
    for letter in letters {
        debug_assert!(letter.is_ascii_lowercase(), "{letter}");
        row = match row {
            Some((same, count)) if same == letter => Some((same, count + 1)),
            other => {
                close(other);
                Some((letter, 1))
            }
        };
    }
    close(row);
    text
}

/// Yes or no, as letters.
pub(crate) fn flags(flags: &[bool]) -> String {
    write(flags.iter().map(|&flag| if flag { b'y' } else { b'n' }))
}

/// Letters at most: as many as a plan has events.
const LETTERS_MAX: usize = 50_000_000;

/// Reads exactly `count` letters.
///
/// # Errors
///
/// If they are more or fewer, or no letters.
pub(crate) fn read(text: &str, count: usize) -> Result<Vec<u8>, String> {
    let letters = expand(text, count)?;
    match letters.len() == count {
        true => Ok(letters),
        false => Err(format!("letters for {count} events are only {}", letters.len())),
    }
}

/// Reads as many letters as there are.
///
/// # Errors
///
/// If they are more than any plan has events, or no letters.
pub(crate) fn read_all(text: &str) -> Result<Vec<u8>, String> {
    expand(text, LETTERS_MAX)
}

fn expand(text: &str, count_max: usize) -> Result<Vec<u8>, String> {
    let mut letters = Vec::new();
    let mut rest = text.as_bytes();
    while let [letter, behind @ ..] = rest {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = match str::from_utf8(&behind[..digits]).expect("ASCII digits") {
            "" => 1,
            digits => digits.parse::<usize>().map_err(|error| format!("{digits}: {error}"))?,
        };
        if !letter.is_ascii_lowercase() || length > count_max - letters.len() {
            return Err(format!("letters for {count_max} events are others, or more"));
        }
        letters.resize(letters.len() + length, *letter);
        rest = &behind[digits..];
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_back_as_they_were_written() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in (0..40).chain([1_000]) {
            let mut letter = || b"aarf"[random.usize(..4)];
            let letters: Vec<u8> = (0..count).map(|_| letter()).collect();
            assert_eq!(read(&write(letters.clone()), count), Ok(letters));
        }
        assert_eq!(write([b'a'; 1_200].into_iter().chain(*b"raa")), "a1200ra2");
        assert_eq!(flags(&[true, true, false]), "y2n");
    }

    #[test]
    fn letters_of_another_plan_are_refused() {
        for text in
            ["", "a2", "a4", "a2r2", "a18446744073709551616", "3", "A3", "é3", "a-1", "aaaa"]
        {
            assert!(read(text, 3).is_err(), "{text}");
        }
        assert_eq!(read("a2r", 3), Ok(b"aar".to_vec()));
    }
}
