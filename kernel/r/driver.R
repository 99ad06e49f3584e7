# What of the driver of R is R. The program evaluates this file once, in the base environment, and
# keeps its value: a function that answers a verb, with the texts that belong to it, by texts.
#
# Words for cells are in the attached environment "warmcell"; all else is hidden here, and uses
# base's own names, whatever a cell defines.
local({
  native <- function(name, ...) .C(paste0("warmcell_", name), ..., PACKAGE = "(embedding)")
  utf8 <- function(text) enc2utf8(paste(as.character(text), collapse = "\n"))

  # --- displays: a bundle is a list of MIME type = text or raw bytes

  is_json <- function(type) grepl("[/+]json$", type)

  stage <- function(bundle) {
    for (type in names(bundle)) {
      data <- bundle[[type]]
      if (is.raw(data)) native("stage_bytes", type, data, length(data))
      else native("stage_text", type, utf8(data), is_json(type))
    }
  }

  publish <- function(message, bundle, id = "") {
    stage(bundle)
    native("publish", message, utf8(id))
    invisible()
  }

  bytes_of <- function(data) {
    if (is.raw(data)) return(data)
    if (!is.character(data) || length(data) != 1 || !file.exists(data))
      stop("give raw bytes, or the name of a file", call. = FALSE)
    readBin(data, "raw", file.size(data))
  }

  text_of <- function(data) {
    if (is.character(data) && length(data) == 1 && nchar(data) < 4096 &&
        !grepl("[<\n{]", data) && file.exists(data)) readLines(data, warn = FALSE)
    else data
  }

  display_mime <- function(bundle, id = "", update = FALSE) {
    if (!is.list(bundle) || is.null(names(bundle)) || !all(grepl("^[^/ ]+/[^/ ]+$", names(bundle))))
      stop("a bundle is list(\"type/subtype\" = text or raw bytes)", call. = FALSE)
    if (update && !nzchar(id)) stop("an update needs the id of what it updates", call. = FALSE)
    publish(if (update) "update_display_data" else "display_data", bundle, id)
  }

  shower <- function(type, read) {
    force(type)
    force(read)
    function(data, id = "", update = FALSE)
      display_mime(stats::setNames(list(read(data)), type), id, update)
  }

  # --- values

  escaped <- function(text) {
    text <- gsub("&", "&amp;", text, fixed = TRUE)
    gsub("<", "&lt;", gsub(">", "&gt;", text, fixed = TRUE), fixed = TRUE)
  }

  ROWS_MOST <- 60L
  COLUMNS_MOST <- 30L

  table_of <- function(frame) {
    rows <- min(nrow(frame), ROWS_MOST)
    columns <- min(ncol(frame), COLUMNS_MOST)
    shown <- as.data.frame(frame)[seq_len(rows), seq_len(columns), drop = FALSE]
    cells <- vapply(shown, function(column) escaped(format(column)), character(rows))
    dim(cells) <- c(rows, columns)
    line <- function(tag, texts) paste0("<tr>", paste0("<", tag, ">", texts, "</", tag, ">",
                                                       collapse = ""), "</tr>")
    head <- line("th", c("", escaped(names(shown))))
    body <- vapply(seq_len(rows), function(i)
      paste0("<tr><th>", escaped(row.names(shown)[i]), "</th>",
             paste0("<td>", cells[i, ], "</td>", collapse = ""), "</tr>"), "")
    size <- sprintf("<p>%d rows, %d columns</p>", nrow(frame), ncol(frame))
    cut <- rows < nrow(frame) || columns < ncol(frame)
    paste0("<table>\n<thead>", head, "</thead>\n<tbody>\n", paste(body, collapse = "\n"),
           "\n</tbody>\n</table>", if (cut) size)
  }

  bundle_of <- function(value) {
    lines <- utils::capture.output(if (isS4(value)) methods::show(value) else print(value))
    bundle <- list()
    if (length(lines)) bundle[["text/plain"]] <- lines
    if (is.data.frame(value) && length(lines) && ncol(value))
      bundle[["text/html"]] <- tryCatch(table_of(value), error = function(e) NULL)
    bundle
  }

  # --- plots: drawn on a device of ours, each page shown when it is finished

  plots <- new.env()
  plots$device <- 0L
  plots$shown <- NULL

  size_of <- function(name, usual) {
    size <- getOption(paste0("repr.plot.", name), usual)
    if (is.numeric(size) && length(size) == 1 && size > 0) size else usual
  }

  open_file <- function(file) {
    width <- size_of("width", 7)
    height <- size_of("height", 7)
    if (capabilities("cairo"))
      grDevices::png(file, width, height, units = "in", res = size_of("res", 120), type = "cairo")
    else grDevices::pdf(file, width, height)
  }

  open_device <- function(...) {
    open_file(tempfile("page", fileext = ".out"))
    grDevices::dev.control(displaylist = "enable")
    plots$device <- grDevices::dev.cur()
    plots$shown <- NULL
  }

  is_ours <- function(device = grDevices::dev.cur())
    device > 1 && identical(device, plots$device) && device %in% grDevices::dev.list()

  # What a page consists of, but for what only sets up what is drawn later.
  drawn_on <- function(page)
    Filter(function(step) {
      name <- tryCatch(step[[2]][[1]]$name, error = function(e) NULL)
      !(is.character(name) && name %in% c("C_par", "C_layout"))
    }, as.list(page[[1]]))

  # Shows the page as it is now, unless it has been.
  show_page <- function() {
    device <- plots$device
    if (!device %in% grDevices::dev.list()) return(invisible())
    before <- grDevices::dev.cur()
    on.exit(if (before %in% grDevices::dev.list()) grDevices::dev.set(before))
    grDevices::dev.set(device)
    page <- grDevices::recordPlot()
    drawn <- drawn_on(page)
    if (!length(drawn) || identical(drawn, plots$shown)) return(invisible())
    file <- tempfile("page")
    on.exit(unlink(file), add = TRUE)
    open_file(file)
    copy <- grDevices::dev.cur()
    tryCatch(grDevices::replayPlot(page), finally = grDevices::dev.off(copy))
    plots$shown <- drawn
    type <- if (capabilities("cairo")) "image/png" else "application/pdf"
    publish("display_data", stats::setNames(list(bytes_of(file)), type))
  }

  turn_page <- function() {
    show_page()
    plots$shown <- NULL # the next page may be the same once more
  }
  setHook("before.plot.new",
          function(...) if (is_ours() && isTRUE(graphics::par("page"))) turn_page())
  setHook("before.grid.newpage", function(...) if (is_ours()) turn_page())

  # --- cells

  words <- attach(NULL, name = "warmcell")

  hear <- function(on) native("hear", as.integer(on))

  # "" where there is none but the evaluation of the cell itself
  call_of <- function(condition) {
    text <- deparse(conditionCall(condition), nlines = 1L)[1]
    if (text %in% c("NULL", "eval(expressions[[i]], globalenv())")) "" else text
  }

  told <- function(w) {
    level <- getOption("warn", 0)
    if (level >= 2) return()
    call <- call_of(w)
    if (level >= 0) {
      where <- if (nzchar(call)) paste0("In ", call, " : ")
      cat("Warning message:\n", where, conditionMessage(w), "\n", sep = "", file = stderr())
    }
    tryInvokeRestart("muffleWarning")
  }

  # The user's calls: those above the evaluation, without the ones that made the error.
  trace_of <- function(calls, depth) {
    calls <- calls[seq_along(calls) > depth]
    names <- vapply(calls, function(call) deparse(call[[1]], nlines = 1L)[1], "")
    end <- match(c(".handleSimpleError", ".signalSimpleWarning"), names)
    end <- min(end, length(calls), na.rm = TRUE)
    calls <- calls[seq_len(max(0L, end - 1L))]
    names <- names[seq_along(calls)]
    calls <- calls[!(seq_along(calls) == length(calls) & names %in% c("stop", "abort"))]
    texts <- vapply(calls, function(call) deparse(call, nlines = 1L, width.cutoff = 100L)[1], "")
    if (length(texts)) c("Traceback:", paste0(seq_along(texts), ". ", texts))
  }

  described <- function(e, trace) {
    call <- call_of(e)
    name <- class(e)[1]
    if (name %in% c("simpleError", "error", "condition")) name <- "Error"
    where <- if (nzchar(call)) paste0("Error in ", call, " : ") else "Error: "
    c("error", name, conditionMessage(e), paste0(where, conditionMessage(e)), trace)
  }

  parsed <- function(code, name) {
    lines <- strsplit(code, "\n", fixed = TRUE)[[1]]
    tryCatch(parse(text = lines, keep.source = TRUE, srcfile = srcfilecopy(name, lines)),
             error = function(e) e)
  }

  show_value <- function(value, message) {
    bundle <- bundle_of(value)
    if (length(bundle)) publish(message, bundle)
    assign(".Last.value", value, envir = words)
  }

  # what: called with each value, and whether it is the last and is visible
  evaluate <- function(code, name, what) {
    expressions <- parsed(code, name)
    if (inherits(expressions, "error"))
      return(c("error", "ParseError", conditionMessage(expressions),
               paste0("Error: ", conditionMessage(expressions))))
    trace <- NULL
    depth <- 0L
    run_all <- function() {
      hear(TRUE)
      for (i in seq_along(expressions)) {
        depth <<- sys.nframe() + 3L # withVisible, and eval's two
        result <- withVisible(eval(expressions[[i]], globalenv()))
        what(result$value, i == length(expressions), result$visible)
      }
      hear(FALSE)
      "ok"
    }
    tryCatch(
      withCallingHandlers(run_all(), warning = told,
                          error = function(e) trace <<- trace_of(sys.calls(), depth)),
      error = function(e) described(e, trace),
      interrupt = function(i) "interrupted",
      finally = hear(FALSE))
  }

  run <- function(code, count, silent) {
    name <- paste0("cell-", count)
    answer <- evaluate(code, name, function(value, last, visible)
      if (visible && silent != "1")
        show_value(value, if (last) "execute_result" else "display_data"))
    tryCatch(show_page(), error = function(e) cat(conditionMessage(e), "\n", file = stderr()))
    answer
  }

  evaluate_one <- function(code) {
    text <- ""
    answer <- evaluate(code, "expression", function(value, last, visible)
      if (last) text <<- utf8(bundle_of(value)[["text/plain"]]))
    if (identical(answer, "ok")) c("ok", text) else answer
  }

  # --- tools

  complete <- function(line) {
    utils:::.assignLinebuffer(line)
    utils:::.assignEnd(nchar(line))
    token <- utils:::.guessTokenFromLine()
    utils:::.completeToken()
    c(token, setdiff(utils:::.retrieveCompletions(), token))
  }

  help_of <- function(topic) {
    files <- as.character(utils::help((topic), help_type = "text", try.all.packages = FALSE))
    if (!length(files)) return(NULL)
    utils::capture.output(
      tools::Rd2txt(utils:::.getHelpFile(files[1]), options = list(underline_titles = FALSE)))
  }

  inspect <- function(topic, detail) {
    value <- tryCatch(eval(parse(text = topic)[[1]], globalenv()), error = function(e) NULL)
    plain <- grepl("^[.[:alpha:]][.[:alnum:]_]*(:::?[.[:alpha:]][.[:alnum:]_]*)?$", topic)
    help <- if (plain) tryCatch(help_of(sub("^.*:", "", topic)), error = function(e) NULL)
    about <- if (is.function(value) && (is.null(help) || detail == "1"))
      utils::capture.output(print(value))
      else if (!is.null(value) && is.null(help)) utils::capture.output(utils::str(value))
    c(about, help)
  }

  is_whole <- function(code) {
    answer <- parsed(code, "cell")
    if (!inherits(answer, "error")) return("complete")
    message <- conditionMessage(answer)
    if (grepl("unexpected end of input|INCOMPLETE_STRING", message)) "incomplete" else "invalid"
  }

  # What R does at its end.
  last <- function() {
    f <- get0(".Last", globalenv(), mode = "function", inherits = FALSE)
    if (!is.null(f))
      tryCatch(f(), error = function(e) cat(described(e, NULL)[4], "\n", file = stderr()))
    "ok"
  }

  info <- function() c(paste(R.version$major, R.version$minor, sep = "."), R.version.string)

  # --- the words of cells, and R's own that know a notebook

  offer <- function(name, f) assign(name, f, envir = words)
  offer("display_mime", display_mime)
  for (kind in list(c("html", "text/html"), c("markdown", "text/markdown"),
                    c("latex", "text/latex"), c("svg", "image/svg+xml"),
                    c("json", "application/json")))
    offer(paste0("display_", kind[1]), shower(kind[2], text_of))
  for (kind in list(c("png", "image/png"), c("jpeg", "image/jpeg"), c("pdf", "application/pdf")))
    offer(paste0("display_", kind[1]), shower(kind[2], bytes_of))
  offer("display", function(value, id = "", update = FALSE)
    display_mime(bundle_of(value), id, update))
  offer("clear_output", function(wait = TRUE) {
    native("clear", as.integer(wait))
    invisible()
  })
  offer("dev.off", function(which = grDevices::dev.cur()) {
    if (is_ours(which)) show_page()
    grDevices::dev.off(which)
  })
  offer("graphics.off", function() {
    show_page()
    grDevices::graphics.off()
  })

  options(device = open_device, help_type = "text", menu.graphics = FALSE,
          pager = function(files, header, title, delete.file) {
            for (file in files) writeLines(readLines(file, warn = FALSE))
            if (delete.file) unlink(files)
          },
          browser = function(url) cat(url, "\n"))

  verbs <- list(run = run, evaluate = evaluate_one, complete = complete, inspect = inspect,
                is_whole = is_whole, last = last, info = info)
  function(verb, texts) enc2utf8(as.character(do.call(verbs[[verb]], as.list(texts))))
})
