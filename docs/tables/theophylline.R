# Empirical Bayes estimates of the twelve people of Theoph, by nlme, to compare posteriors with.
#   Rscript docs/tables/theophylline.R docs/tables/data/studies/theophylline_nlme.csv
# Debian: r-base-core and r-cran-nlme.
library(nlme)
data <- as.data.frame(Theoph)
data$amount <- data$Dose * data$Wt
fit <- nlme(
  conc ~ amount * exp(ka) / (exp(V) * (exp(ka) - exp(CL - V))) *
    (exp(-exp(CL - V) * Time) - exp(-exp(ka) * Time)),
  data = groupedData(conc ~ Time | Subject, data),
  fixed = ka + V + CL ~ 1,
  random = pdDiag(ka + V + CL ~ 1),
  start = c(0.45, 3.45, 1.0),
  method = "ML"
)
estimates <- exp(coef(fit))
estimates <- cbind(system = rownames(estimates), round(estimates, 4))
write.csv(estimates, commandArgs(trailingOnly = TRUE)[1], row.names = FALSE, quote = FALSE)
