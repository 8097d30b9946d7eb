//! Characters that cannot be seen.
//!
//! What cannot be seen must not tell two topics apart, so version 1 of Mercure takes none of them in
//! topics, matchers, ids and types (draft 08, "Terminology").

/// Whether a character is a control character (C0, DEL, C1), or one that only formats: general
/// category `Cf` of Unicode 16.
#[must_use]
pub fn is_unseen(character: char) -> bool {
    let formats = matches!(character,
        '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{890}'..='\u{891}'
        | '\u{8E2}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0001}' | '\u{E0020}'..='\u{E007F}');
    character.is_control() || formats
}
