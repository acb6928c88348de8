"""Functions of PostgreSQL that give every row of a statement the same value."""

from __future__ import annotations

import re

# Source: pg_proc.provolatile of PostgreSQL 18 is immutable or stable for each, whatever its arguments.
NON_VOLATILE = frozenset(
    re.findall(
        r"\w+",
        """
        abs acos age array_append array_fill array_length array_position array_prepend array_remove array_replace
        array_to_json array_to_string array_upper ascii asin atan atan2 bit_count bit_length bool box bpchar btrim bytea
        cardinality cbrt ceil ceiling center char_length character_length chr cidr circle concat concat_ws convert_from
        convert_to cos current_database current_schema current_schemas current_setting current_user date date_add
        date_bin date_part date_subtract date_trunc datemultirange daterange decode degrees div encode enum_first
        enum_last enum_range exp extract factorial float4 float8 floor format format_type gcd get_bit get_byte host
        initcap int2 int4 int4multirange int4range int8 int8multirange int8range interval isfinite json_array_length
        json_build_array json_build_object json_object json_strip_nulls json_typeof jsonb_array_length
        jsonb_build_array jsonb_build_object jsonb_insert jsonb_object jsonb_pretty jsonb_set jsonb_strip_nulls
        jsonb_typeof justify_days justify_hours justify_interval lcm left length line ln log log10 lower lpad lseg ltrim
        macaddr make_date make_interval make_time make_timestamp make_timestamptz masklen md5 mod money netmask network
        normalize now num_nonnulls num_nulls numeric nummultirange numrange octet_length overlay parse_ident path
        pg_client_encoding pg_current_snapshot pi point polygon position pow power quote_ident quote_literal
        quote_nullable radians regclass regexp_replace regexp_substr repeat replace reverse right round row_to_json
        rpad rtrim scale session_user set_byte sha224 sha256 sha384 sha512 sign sin split_part sqrt statement_timestamp
        string_to_array strpos substr substring tan text time timestamp timestamptz timetz timezone to_char to_date
        to_hex to_json to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector transaction_timestamp
        translate trim_array trim_scale trunc tsmultirange tsrange tstzmultirange tstzrange unistr upper varchar
        version width_bucket
        """,
    )
)
