-- Combines variances of parts into the population variance of the whole, by the pairwise formula of Chan, Golub and
-- LeVeque as PostgreSQL's own parallel aggregation has it. A part is ARRAY[count, sum, sum of squared deviations].
-- Right for values like 1e9 + 0.1, where sums of squares are not.
CREATE AGGREGATE combine_variance (float8[]) (
    SFUNC = float8_combine,
    STYPE = float8[],
    INITCOND = '{0,0,0}',
    FINALFUNC = float8_var_pop,
    COMBINEFUNC = float8_combine,
    PARALLEL = SAFE
);
