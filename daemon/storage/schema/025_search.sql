-- The full-text index finds words in scripts without blanks (Thai, Lao, Burmese, Khmer, Japanese, Chinese): there each
-- character is a token. The marks of other scripts (Hindi, Arabic) belong to the words that they are in.

DROP TRIGGER recordings_fts_insert;
DROP TRIGGER recordings_fts_delete;
DROP TRIGGER recordings_fts_update;
DROP TABLE recordings_fts;

-- What is indexed: the texts of recordings, with a zero-width space (U+200B) on either side of each character of those
-- scripts, which are those of UNSPACED in daemon/text.py. In SQL alone, because rows may be deleted by any program, and the
-- index then needs the same text again. The first two comparisons spare most texts the third, which takes long. Texts are
-- cut in pieces because SQLite counts characters from the start of a text.
CREATE VIEW recordings_text AS
SELECT id,
    CASE WHEN length(transcript) < length(CAST(transcript AS BLOB)) AND transcript GLOB '*[฀-𿿿]*' AND transcript GLOB '*[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]*' THEN (
        WITH RECURSIVE pieces (piece, rest) AS (
            SELECT substr(transcript, 1, 200), substr(transcript, 201)
            UNION ALL SELECT substr(rest, 1, 200), substr(rest, 201) FROM pieces WHERE rest <> ''
        )
        SELECT group_concat((
            WITH RECURSIVE letters (letter, place) AS (
                SELECT substr(piece, 1, 1), 1
                UNION ALL SELECT substr(piece, place + 1, 1), place + 1 FROM letters WHERE place < length(piece)
            )
            SELECT group_concat(
                CASE WHEN letter GLOB '[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]'
                THEN char(8203) || letter || char(8203) ELSE letter END, ''
            ) FROM letters
        ), '') FROM pieces
    ) ELSE transcript END AS transcript,
    CASE WHEN length(summary) < length(CAST(summary AS BLOB)) AND summary GLOB '*[฀-𿿿]*' AND summary GLOB '*[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]*' THEN (
        WITH RECURSIVE pieces (piece, rest) AS (
            SELECT substr(summary, 1, 200), substr(summary, 201)
            UNION ALL SELECT substr(rest, 1, 200), substr(rest, 201) FROM pieces WHERE rest <> ''
        )
        SELECT group_concat((
            WITH RECURSIVE letters (letter, place) AS (
                SELECT substr(piece, 1, 1), 1
                UNION ALL SELECT substr(piece, place + 1, 1), place + 1 FROM letters WHERE place < length(piece)
            )
            SELECT group_concat(
                CASE WHEN letter GLOB '[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]'
                THEN char(8203) || letter || char(8203) ELSE letter END, ''
            ) FROM letters
        ), '') FROM pieces
    ) ELSE summary END AS summary,
    CASE WHEN length(name) < length(CAST(name AS BLOB)) AND name GLOB '*[฀-𿿿]*' AND name GLOB '*[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]*' THEN (
        WITH RECURSIVE pieces (piece, rest) AS (
            SELECT substr(name, 1, 200), substr(name, 201)
            UNION ALL SELECT substr(rest, 1, 200), substr(rest, 201) FROM pieces WHERE rest <> ''
        )
        SELECT group_concat((
            WITH RECURSIVE letters (letter, place) AS (
                SELECT substr(piece, 1, 1), 1
                UNION ALL SELECT substr(piece, place + 1, 1), place + 1 FROM letters WHERE place < length(piece)
            )
            SELECT group_concat(
                CASE WHEN letter GLOB '[฀-໿က-႟ក-៿々-〇぀-ヿ㐀-鿿豈-﫿ｦ-ﾟ𠀀-𿿿]'
                THEN char(8203) || letter || char(8203) ELSE letter END, ''
            ) FROM letters
        ), '') FROM pieces
    ) ELSE name END AS name
FROM recordings;

CREATE VIRTUAL TABLE recordings_fts USING fts5 (
    transcript, summary, name, content='recordings_text', content_rowid='id',
    tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
);

CREATE TRIGGER recordings_fts_insert AFTER INSERT ON recordings BEGIN
    INSERT INTO recordings_fts (rowid, transcript, summary, name)
    SELECT id, transcript, summary, name FROM recordings_text WHERE id = new.id;
END;

-- Before the row changes: the view has to show what was indexed.
CREATE TRIGGER recordings_fts_delete BEFORE DELETE ON recordings BEGIN
    INSERT INTO recordings_fts (recordings_fts, rowid, transcript, summary, name)
    SELECT 'delete', id, transcript, summary, name FROM recordings_text WHERE id = old.id;
END;

-- Only for changes of these columns: a claim or a retry must not rewrite the index.
CREATE TRIGGER recordings_fts_update_before BEFORE UPDATE OF transcript, summary, name ON recordings BEGIN
    INSERT INTO recordings_fts (recordings_fts, rowid, transcript, summary, name)
    SELECT 'delete', id, transcript, summary, name FROM recordings_text WHERE id = old.id;
END;

CREATE TRIGGER recordings_fts_update AFTER UPDATE OF transcript, summary, name ON recordings BEGIN
    INSERT INTO recordings_fts (rowid, transcript, summary, name)
    SELECT id, transcript, summary, name FROM recordings_text WHERE id = new.id;
END;

-- As 'rebuild' does, but by a function of earshot, which is fast for those scripts as well.
INSERT INTO recordings_fts (rowid, transcript, summary, name)
SELECT id, spaced_out(transcript), spaced_out(summary), spaced_out(name) FROM recordings;
