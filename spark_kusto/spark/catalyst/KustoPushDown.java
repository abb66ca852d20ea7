// Transparent push-down for the Python data source "kusto".
//
// This file is compiled once per session by the Java compiler that Spark carries (Janino), so it keeps to
// what Janino takes: no lambdas, raw types, Scala objects as Name$.MODULE$. It was run on PySpark 4.0 to 4.3.
//
// The rule is appended to the session's "extra optimizations", which run after Catalyst's own: the plan above
// a scan then says which columns, filters, limits and aggregates are needed. For every scan of the source
// the rule writes down what stands above it as JSON and asks a planner on the Python side, which answers
// what of that can be said exactly in KQL. Here only the shape of plans is known, there only their meaning.
//
//   Project/Filter over a scan      -> columns and filters
//   [Global]LocalLimit over that    -> take n, or top n where a Sort stands between
//   Aggregate over that             -> summarize
//
// Every scan gets a Python source of its own, also where nothing is pushed: Spark keeps the partitions of a
// source's first action for all later ones, and they would not see new data.
//
// Tables of Spark's catalog (CREATE TABLE ... USING kusto OPTIONS ...) lose their options on the way to a Python
// source, in reads and in INSERT INTO alike; the rule puts them back from the catalog.

import java.util.*;
import org.apache.spark.sql.catalyst.expressions.*;
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression;
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateFunction;
import org.apache.spark.sql.catalyst.plans.logical.*;
import org.apache.spark.sql.catalyst.trees.TreeNode;
import org.apache.spark.sql.connector.read.Batch;
import org.apache.spark.sql.connector.read.InputPartition;
import org.apache.spark.sql.connector.read.PartitionReaderFactory;
import org.apache.spark.sql.connector.read.Scan;
import org.apache.spark.sql.connector.read.SupportsReportStatistics;
import org.apache.spark.sql.execution.datasources.v2.DataSourceV2Relation;
import org.apache.spark.sql.execution.datasources.v2.DataSourceV2ScanRelation;
import org.apache.spark.sql.execution.datasources.v2.python.PythonDataSourceV2;
import org.apache.spark.sql.execution.datasources.v2.python.PythonScan;
import org.apache.spark.sql.execution.datasources.v2.python.PythonScanBuilder;
import org.apache.spark.sql.execution.datasources.v2.python.PythonTable;
import org.apache.spark.sql.internal.SQLConf;
import org.apache.spark.sql.types.*;
import org.apache.spark.sql.util.CaseInsensitiveStringMap;

public class KustoPushDown extends org.apache.spark.sql.catalyst.rules.Rule {
  // The Python planner: JSON in, JSON out.
  private final java.util.function.Function planner;
  private final com.fasterxml.jackson.databind.ObjectMapper json = new com.fasterxml.jackson.databind.ObjectMapper();
  private final Set names;
  // Spark optimizes a query's subqueries by themselves; its tracker tells that they are one query's.
  private final Map queries = Collections.synchronizedMap(new WeakHashMap());

  // Which read's tasks an RDD has as its rows: its id -> the read's number. A name would show in every plan.
  private static final Map READS = Collections.synchronizedMap(new LinkedHashMap());
  // The option of a scan that gives the tasks of a read, whose columns it holds.
  private static final String TASKS = "__kusto_tasks";

  public KustoPushDown(java.util.function.Function planner, String[] names) {
    this.planner = planner;
    this.names = new HashSet(Arrays.asList(names));
  }

  // Tells the planner when the application ends, and when a read's tasks are about to run.
  public Object listener() { return new Listener(planner); }

  // Says that an RDD has the tasks of a read as its rows, for the listener.
  public static void rowsAreOf(int rdd, Object number) {
    synchronized (READS) {
      READS.put(Integer.valueOf(rdd), number);
      if (READS.size() > 1000) READS.remove(READS.keySet().iterator().next());
    }
  }

  public static class Listener extends org.apache.spark.scheduler.SparkListener {
    private final java.util.function.Function planner;
    private final Map told = new LinkedHashMap(); // a read's number -> the last execution that ran it
    // Python may be slow to answer, and other listeners wait for this one.
    private final java.util.concurrent.ExecutorService teller = java.util.concurrent.Executors.newSingleThreadExecutor(
        new java.util.concurrent.ThreadFactory() {
          public Thread newThread(Runnable task) {
            Thread thread = new Thread(task, "kusto-reads");
            thread.setDaemon(true);
            return thread;
          }
        });

    public Listener(java.util.function.Function planner) { this.planner = planner; }

    public void onJobStart(org.apache.spark.scheduler.SparkListenerJobStart event) {
      Object execution = event.properties() == null ? null : event.properties().getProperty("spark.sql.execution.id");
      for (int i = 0; i < event.stageInfos().size(); i++) {
        scala.collection.immutable.Seq rdds = ((org.apache.spark.scheduler.StageInfo) event.stageInfos().apply(i)).rddInfos();
        for (int j = 0; j < rdds.size(); j++) {
          Object read = READS.get(Integer.valueOf(((org.apache.spark.storage.RDDInfo) rdds.apply(j)).id()));
          if (read == null) continue;
          // One execution may need several jobs.
          if (told.containsKey(read) && Objects.equals(told.get(read), execution)) continue;
          told.put(read, execution);
          if (told.size() > 1000) told.remove(told.keySet().iterator().next());
          final String message = "runs " + read;
          final java.util.function.Function listening = planner;
          teller.execute(new Runnable() {
            public void run() {
              try {
                listening.apply(message);
              } catch (Throwable e) {
                // Python has ended.
              }
            }
          });
        }
      }
    }

    public void onApplicationEnd(org.apache.spark.scheduler.SparkListenerApplicationEnd event) {
      try {
        planner.apply("end");
      } catch (Throwable e) {
        // Python ended first, and cleaned up by itself.
      }
    }
  }

  public TreeNode apply(TreeNode plan) {
    boolean enabled = "true".equalsIgnoreCase(SQLConf.get().getConfString("spark.kusto.pushDown.enabled", "true"));
    LogicalPlan root = (LogicalPlan) plan;
    if (root instanceof AppendData || root instanceof OverwriteByExpression) root = withTableOptions(root);
    return reads(root) ? new Rewrite(enabled).rewrite(root) : root;
  }

  private String queryOfThisThread() {
    scala.Option tracker = org.apache.spark.sql.catalyst.QueryPlanningTracker$.MODULE$.get();
    String fresh = UUID.randomUUID().toString();
    if (tracker.isEmpty()) return fresh;
    Object known = queries.putIfAbsent(tracker.get(), fresh);
    return known == null ? fresh : (String) known;
  }

  private boolean reads(LogicalPlan plan) {
    if (scanOf(plan) != null) return true;
    scala.collection.Iterator children = plan.children().iterator();
    while (children.hasNext()) if (reads((LogicalPlan) children.next())) return true;
    return false;
  }

  // The scan of this source that the plan is, unless it was rewritten before or carries filters that
  // someone else has pushed into it, which a new scan would lose.
  private DataSourceV2ScanRelation scanOf(LogicalPlan plan) {
    if (!(plan instanceof DataSourceV2ScanRelation)) return null;
    DataSourceV2ScanRelation relation = (DataSourceV2ScanRelation) plan;
    if (!(relation.scan() instanceof PythonScan)) return null;
    if (!names.contains(relation.relation().table().name().toLowerCase(Locale.ROOT))) return null;
    return carriesFilters(relation.scan()) ? null : relation;
  }

  private static boolean carriesFilters(Scan scan) {
    try {
      java.lang.reflect.Field field = scan.getClass().getDeclaredField("supportedFilters");
      field.setAccessible(true);
      Object filters = field.get(scan);
      return filters != null && java.lang.reflect.Array.getLength(filters) > 0;
    } catch (NoSuchFieldException e) {
      return false; // PySpark 4.0 pushes none.
    } catch (IllegalAccessException e) {
      return true;
    }
  }

  // One pass over one plan; all scans of a query read the same snapshot of a database.
  private class Rewrite {
    private final String plan = queryOfThisThread();
    private final boolean enabled;

    Rewrite(boolean enabled) { this.enabled = enabled; }

    LogicalPlan rewrite(LogicalPlan node) {
      LogicalPlan done = null;
      if (!enabled) done = restored(node);
      else if (node instanceof GlobalLimit) done = globalLimit((GlobalLimit) node);
      else if (node instanceof LocalLimit) done = localLimit((LocalLimit) node, false);
      else if (node instanceof Aggregate) done = aggregate((Aggregate) node);
      else if (node instanceof Project || node instanceof Filter || node instanceof DataSourceV2ScanRelation)
        done = chain(node, null, null);
      if (done != null) return done;
      final Rewrite self = this;
      return (LogicalPlan) node.mapChildren(new scala.runtime.AbstractFunction1() {
        public Object apply(Object child) { return self.rewrite((LogicalPlan) child); }
      });
    }

    // With push-down off, scans are left alone but for those that lack the options of their table.
    private LogicalPlan restored(LogicalPlan node) {
      DataSourceV2ScanRelation scan = scanOf(node);
      if (scan == null || names(scan.relation().options().asCaseSensitiveMap())) return null;
      return names(optionsOf(scan.relation())) ? chain(node, null, null) : null;
    }

    // -- limits -----------------------------------------------------------------------------------

    private LogicalPlan globalLimit(GlobalLimit node) {
      LogicalPlan child = (LogicalPlan) node.child();
      if (!(child instanceof LocalLimit)) return null;
      LogicalPlan done = localLimit((LocalLimit) child, true);
      if (done == null) return null;
      // Without an order the scan itself gives no more rows than the limit, and its worker is read to the end.
      if (!(done instanceof LocalLimit) && sameLimit(node.limitExpr(), ((LocalLimit) child).limitExpr())) return done;
      return with(node, done);
    }

    private boolean sameLimit(Expression a, Expression b) {
      return a instanceof Literal && b instanceof Literal && ((Literal) a).value().equals(((Literal) b).value());
    }

    // A local limit asks for no more than so many rows of what is below: the scan as a whole may stop there.
    private LogicalPlan localLimit(LocalLimit node, boolean global) {
      if (!(node.limitExpr() instanceof Literal)) return null;
      Object limit = ((Literal) node.limitExpr()).value();
      LogicalPlan child = (LogicalPlan) node.child();
      LogicalPlan top = child;
      Project above = null;
      if (child instanceof Project && ((Project) child).child() instanceof Sort) {
        above = (Project) child;
        child = (LogicalPlan) above.child();
      }
      if (!(child instanceof Sort)) return chain(top, limit, null);
      Sort sort = (Sort) child;
      if (!sort.global()) return null;
      LogicalPlan below = chain((LogicalPlan) sort.child(), limit, sort);
      if (below == null) return null;
      // Spark sorts the few rows again: a scan promises no order.
      LogicalPlan sorted = with(sort, below);
      return with(node, above == null ? sorted : with(above, sorted));
    }

    // -- projections and filters ------------------------------------------------------------------

    private LogicalPlan chain(LogicalPlan node, Object limit, Sort sort) {
      Chain chain = chainOf(node);
      if (chain == null) return null;
      Map request = chain.request();
      if (limit != null) {
        request.put("limit", limit);
        if (sort != null) {
          List order = new ArrayList();
          for (int i = 0; i < sort.order().size(); i++) {
            SortOrder key = (SortOrder) sort.order().apply(i);
            Map entry = new LinkedHashMap();
            entry.put("e", chain.encode((Expression) key.child()));
            entry.put("descending", Boolean.valueOf(key.direction() == Descending$.MODULE$));
            entry.put("nulls_first", Boolean.valueOf(key.nullOrdering() == NullsFirst$.MODULE$));
            order.add(entry);
          }
          request.put("order", order);
        }
      }
      request.put("needed", chain.needed());
      Map answer = ask(request);
      if (answer == null) return null;
      List kept = (List) answer.get("columns");
      List output = new ArrayList();
      for (int i = 0; i < kept.size(); i++)
        output.add(chain.scan.output().apply(((Number) kept.get(i)).intValue()));
      LogicalPlan result = replaced(chain.scan, output, answer, plan);
      List exact = (List) answer.get("exact");
      Expression rest = null;
      for (int i = 0; i < exact.size(); i++) {
        if (Boolean.TRUE.equals(exact.get(i))) continue;
        Expression filter = (Expression) chain.filters.apply(i);
        rest = rest == null ? filter : new And(rest, filter);
      }
      if (rest != null) result = new org.apache.spark.sql.catalyst.plans.logical.Filter(rest, result);
      return same(seq(output), chain.projections) ? result : new Project(chain.projections, result);
    }

    private Chain chainOf(LogicalPlan node) {
      scala.Option matched = org.apache.spark.sql.catalyst.planning.PhysicalOperation$.MODULE$.unapply(node);
      if (matched.isEmpty()) return null;
      scala.Tuple3 parts = (scala.Tuple3) matched.get();
      DataSourceV2ScanRelation scan = scanOf((LogicalPlan) parts._3());
      if (scan == null) return null;
      return new Chain(plan, scan, (scala.collection.immutable.Seq) parts._1(), (scala.collection.immutable.Seq) parts._2());
    }

    // -- aggregates -------------------------------------------------------------------------------

    private LogicalPlan aggregate(Aggregate node) {
      Chain chain = chainOf((LogicalPlan) node.child());
      if (chain == null) return null;
      List output = new ArrayList();
      List groups = new ArrayList();
      for (int i = 0; i < node.groupingExpressions().size(); i++) {
        Expression group = (Expression) node.groupingExpressions().apply(i);
        // Catalyst has moved expressions to group by into a projection below.
        if (!(group instanceof AttributeReference)) return null;
        groups.add(chain.encode(group));
        output.add(group);
      }
      Map calls = new LinkedHashMap(); // the aggregate's result id -> its call
      List attributes = new ArrayList();
      for (int i = 0; i < node.aggregateExpressions().size(); i++)
        collect((Expression) node.aggregateExpressions().apply(i), chain, calls, attributes);
      output.addAll(attributes);
      Map summary = new LinkedHashMap();
      summary.put("groups", groups);
      summary.put("calls", new ArrayList(calls.values()));
      Map request = chain.request();
      request.put("needed", new ArrayList());
      request.put("aggregate", summary);
      Map answer = ask(request);
      if (answer == null) return null;
      LogicalPlan scan = replaced(chain.scan, output, answer, plan);
      List projections = new ArrayList();
      for (int i = 0; i < node.aggregateExpressions().size(); i++)
        projections.add(withResults((Expression) node.aggregateExpressions().apply(i)));
      return new Project(seq(projections), scan);
    }

    private void collect(Expression e, Chain chain, Map calls, List attributes) {
      if (e instanceof AggregateExpression) {
        AggregateExpression call = (AggregateExpression) e;
        Object id = Long.valueOf(call.resultId().id());
        if (calls.containsKey(id)) return;
        AggregateFunction function = (AggregateFunction) call.aggregateFunction();
        Map entry = new LinkedHashMap();
        entry.put("function", function.getClass().getSimpleName());
        entry.put("distinct", Boolean.valueOf(call.isDistinct()));
        entry.put("args", chain.encodeAll(function.children()));
        entry.put("filter", call.filter().isDefined() ? chain.encode((Expression) call.filter().get()) : null);
        entry.put("mode", overflowMode(function));
        calls.put(id, entry);
        attributes.add(call.resultAttribute());
        return;
      }
      for (int i = 0; i < e.children().size(); i++) collect((Expression) e.children().apply(i), chain, calls, attributes);
    }

    private Expression withResults(Expression e) {
      if (e instanceof AggregateExpression) return (Expression) ((AggregateExpression) e).resultAttribute();
      final Rewrite self = this;
      return (Expression) e.mapChildren(new scala.runtime.AbstractFunction1() {
        public Object apply(Object child) { return self.withResults((Expression) child); }
      });
    }

    // What a sum does on overflow: ANSI, LEGACY or TRY. Where it is kept differs between versions of Spark.
    private String overflowMode(AggregateFunction function) {
      for (int i = 0; i < function.productArity(); i++) {
        String text = String.valueOf(function.productElement(i));
        if (text.equals("ANSI") || text.contains("(ANSI")) return "ANSI";
        if (text.equals("LEGACY") || text.contains("(LEGACY")) return "LEGACY";
        if (text.equals("TRY") || text.contains("(TRY")) return "TRY";
      }
      return null;
    }
  }

  // Projections and filters over one scan, all expressions in terms of the scan's own columns.
  private static class Chain {
    final String plan;
    final DataSourceV2ScanRelation scan;
    final scala.collection.immutable.Seq projections;
    final scala.collection.immutable.Seq filters;
    private final Map positions = new HashMap(); // expression id -> index of the scan's column
    private final Map aliased = new HashMap(); // expression id -> what a projection computes under it

    Chain(String plan, DataSourceV2ScanRelation scan, scala.collection.immutable.Seq projections, scala.collection.immutable.Seq filters) {
      this.plan = plan;
      this.scan = scan;
      this.projections = projections;
      this.filters = filters;
      for (int i = 0; i < scan.output().size(); i++)
        positions.put(Long.valueOf(((AttributeReference) scan.output().apply(i)).exprId().id()), Integer.valueOf(i));
      for (int i = 0; i < projections.size(); i++)
        if (projections.apply(i) instanceof Alias) {
          Alias alias = (Alias) projections.apply(i);
          aliased.put(Long.valueOf(alias.exprId().id()), alias.child());
        }
    }

    // Indexes of the scan's columns that the projections use.
    List needed() {
      Set found = new TreeSet();
      for (int i = 0; i < projections.size(); i++)
        found.addAll(indexes(((Expression) projections.apply(i)).references()));
      return new ArrayList(found);
    }

    // A request with the scan's columns and the filters.
    Map request() {
      Map request = new LinkedHashMap();
      request.put("plan", plan);
      request.put("options", optionsOf(scan.relation()));
      List columns = new ArrayList();
      for (int i = 0; i < scan.output().size(); i++) {
        AttributeReference column = (AttributeReference) scan.output().apply(i);
        columns.add(Arrays.asList(new String[] {column.name(), column.dataType().catalogString()}));
      }
      request.put("columns", columns);
      List encoded = new ArrayList();
      for (int i = 0; i < filters.size(); i++) {
        Map entry = new LinkedHashMap();
        entry.put("e", encode((Expression) filters.apply(i)));
        entry.put("refs", indexes(((Expression) filters.apply(i)).references()));
        encoded.add(entry);
      }
      request.put("filters", encoded);
      return request;
    }

    List indexes(AttributeSet used) {
      List found = new ArrayList();
      for (int i = 0; i < scan.output().size(); i++)
        if (used.contains((NamedExpression) scan.output().apply(i))) found.add(Integer.valueOf(i));
      return found;
    }

    List encodeAll(scala.collection.immutable.Seq expressions) {
      List out = new ArrayList();
      for (int i = 0; i < expressions.size(); i++) out.add(encode((Expression) expressions.apply(i)));
      return out;
    }

    // An expression as the planner reads it; what it cannot read becomes a function without a name.
    Object encode(Expression e) {
      Map out = new LinkedHashMap();
      if (e instanceof AttributeReference) {
        Object id = Long.valueOf(((AttributeReference) e).exprId().id());
        if (aliased.containsKey(id)) return encode((Expression) aliased.get(id));
        if (positions.containsKey(id)) out.put("c", positions.get(id));
        else out.put("f", "");
        return out;
      }
      if (e instanceof Alias) return encode((Expression) ((Alias) e).child());
      if (e instanceof Literal) return literal(((Literal) e).value(), e.dataType());
      if (e instanceof InSet) {
        List arguments = new ArrayList();
        Expression child = (Expression) ((InSet) e).child();
        arguments.add(encode(child));
        scala.collection.Iterator values = ((InSet) e).hset().iterator();
        while (values.hasNext()) arguments.add(literal(values.next(), child.dataType()));
        out.put("f", "In");
        out.put("a", arguments);
        return out;
      }
      out.put("f", e.getClass().getSimpleName());
      if (e instanceof Cast) out.put("to", e.dataType().catalogString());
      if (e instanceof TimeZoneAwareExpression && ((TimeZoneAwareExpression) e).timeZoneId().isDefined())
        out.put("zone", ((TimeZoneAwareExpression) e).timeZoneId().get());
      out.put("a", encodeAll(e.children()));
      return out;
    }

    // Values travel typed: microseconds and days as numbers, decimals and floats as exact text.
    private Object literal(Object value, DataType type) {
      Map out = new LinkedHashMap();
      boolean text = type instanceof DecimalType || type instanceof DoubleType || type instanceof FloatType
          || type instanceof StringType;
      if (value == null || value instanceof Boolean) out.put("v", value);
      else if (text) out.put("v", value.toString());
      else if (value instanceof Long || value instanceof Integer || value instanceof Short || value instanceof Byte)
        out.put("v", value);
      else {
        out.put("f", "");
        return out;
      }
      out.put("t", type.catalogString());
      return out;
    }
  }

  // -- tables of Spark's catalog --------------------------------------------------------------------

  private static boolean names(Map options) {
    return new CaseInsensitiveStringMap(options).containsKey("kustocluster");
  }

  // A relation's options; for a table of the catalog the ones it was created with, and then those of the statement.
  private static Map optionsOf(DataSourceV2Relation relation) {
    Map given = new HashMap(relation.options().asCaseSensitiveMap());
    if (names(given) || relation.identifier().isEmpty()) return given;
    org.apache.spark.sql.connector.catalog.Identifier table =
        (org.apache.spark.sql.connector.catalog.Identifier) relation.identifier().get();
    if (table.namespace().length != 1) return given;
    try {
      org.apache.spark.sql.catalyst.catalog.CatalogTable stored =
          org.apache.spark.sql.classic.SparkSession.active().sessionState().catalog().getTableMetadata(
              new org.apache.spark.sql.catalyst.TableIdentifier(table.name(), scala.Option.apply(table.namespace()[0])));
      Map options = new HashMap(
          scala.jdk.javaapi.CollectionConverters.asJava(stored.storage().properties()));
      options.putAll(given);
      return options;
    } catch (Exception e) {
      return given;
    }
  }

  // INSERT INTO a table of the catalog: its write is built again, with the table's options.
  private LogicalPlan withTableOptions(final LogicalPlan command) {
    boolean overwrite = command instanceof OverwriteByExpression;
    Object target = ((V2WriteCommand) command).table();
    if (!(target instanceof DataSourceV2Relation)) return command;
    DataSourceV2Relation relation = (DataSourceV2Relation) target;
    if (!(relation.table() instanceof PythonTable)) return command;
    if (!names.contains(relation.table().name().toLowerCase(Locale.ROOT))) return command;
    scala.collection.immutable.Map statement;
    if (overwrite) statement = ((OverwriteByExpression) command).writeOptions();
    else statement = ((AppendData) command).writeOptions();
    final LogicalPlan query = (LogicalPlan) ((V2WriteCommand) command).query();
    final Map options = optionsOf(relation);
    options.putAll(scala.jdk.javaapi.CollectionConverters.asJava(statement));
    if (!names(options) || names(relation.options().asCaseSensitiveMap())) return command;
    org.apache.spark.sql.connector.write.WriteBuilder builder = ((PythonTable) relation.table()).newWriteBuilder(
        new org.apache.spark.sql.connector.write.LogicalWriteInfo() {
          public CaseInsensitiveStringMap options() { return new CaseInsensitiveStringMap(options); }
          public String queryId() { return UUID.randomUUID().toString(); }
          public StructType schema() { return query.schema(); }
        });
    if (overwrite) builder = ((org.apache.spark.sql.connector.write.SupportsTruncate) builder).truncate();
    Object[] parts = new Object[command.productArity()];
    for (int i = 0; i < parts.length; i++) {
      parts[i] = command.productElement(i);
      boolean write = parts[i] instanceof scala.Some
          && ((scala.Some) parts[i]).value() instanceof org.apache.spark.sql.connector.write.Write;
      if (write) parts[i] = new scala.Some(builder.build());
    }
    return (LogicalPlan) command.makeCopy(parts);
  }

  // -- shared ---------------------------------------------------------------------------------------

  // The planner's answer, or null if what was asked cannot be pushed. A planner that fails changes nothing.
  private Map ask(Map request) {
    try {
      Object text = planner.apply(json.writeValueAsString(request));
      if (text == null) return null;
      return (Map) json.readValue(text.toString(), Map.class);
    } catch (Exception e) {
      return null;
    }
  }

  private static scala.collection.immutable.Seq seq(List items) {
    return scala.jdk.javaapi.CollectionConverters.asScala(items).toSeq();
  }

  private static LogicalPlan with(LogicalPlan node, LogicalPlan child) {
    return (LogicalPlan) node.withNewChildren(seq(Collections.singletonList(child)));
  }

  // A scan with these columns and what the answer pushes, on a Python source of its own.
  private static LogicalPlan replaced(DataSourceV2ScanRelation relation, List output, Map answer, String query) {
    StructType schema = new StructType();
    List resultNames = (List) answer.get("results");
    for (int i = 0; i < output.size(); i++) {
      Attribute column = (Attribute) output.get(i);
      String name = resultNames == null ? column.name() : (String) resultNames.get(i);
      // All nullable: a worker's batches are compared with the schema, nullability included.
      schema = schema.add(name, column.dataType(), true);
    }
    Map options = optionsOf(relation.relation());
    options.putAll((Map) answer.get("options"));
    Scan scan = new KustoScan(relation.relation().table().name(), schema, options, query,
        (String) answer.get("description"), (Number) answer.get("rows"), (Number) answer.get("bytes"));
    return withScan(relation, scan, output);
  }

  // Public, as what follows, for the strategies, whose classes come from other loaders.
  public static LogicalPlan withScan(DataSourceV2ScanRelation relation, Scan scan, List output) {
    // Versions of Spark differ in what follows the first three parts.
    Object[] parts = new Object[relation.productArity()];
    for (int i = 0; i < parts.length; i++) parts[i] = relation.productElement(i);
    parts[1] = scan;
    parts[2] = seq(output);
    return (LogicalPlan) relation.makeCopy(parts);
  }

  // Whether projections give just the columns that are there.
  public static boolean same(scala.collection.immutable.Seq output, scala.collection.immutable.Seq projections) {
    if (output.size() != projections.size()) return false;
    for (int i = 0; i < output.size(); i++) {
      if (!(projections.apply(i) instanceof AttributeReference)) return false;
      AttributeReference column = (AttributeReference) projections.apply(i);
      if (column.exprId().id() != ((AttributeReference) output.apply(i)).exprId().id()) return false;
    }
    return true;
  }

  // A Python scan that says how large it is (so that small tables are broadcast) and what was pushed.
  public static class KustoScan implements Scan, SupportsReportStatistics {
    private final String source;
    private final Scan inner;
    private Scan tasks;
    // Public: the strategy's class comes from another loader.
    public final StructType schema;
    public final Map options;
    public final String query; // of which the scan is a part
    public final String identity;
    private final String pushed;
    private final Number rows;
    private final Number bytes;

    KustoScan(String source, StructType schema, Map options, String query, String pushed, Number rows, Number bytes) {
      this.source = source;
      this.inner = pythonScan(source, schema, options);
      this.schema = schema;
      this.options = options;
      this.query = query;
      this.identity = schema.json() + "\n" + new TreeMap(options);
      this.pushed = pushed;
      this.rows = rows;
      this.bytes = bytes;
    }

    private static Scan pythonScan(String name, StructType schema, Map options) {
      PythonDataSourceV2 source = new PythonDataSourceV2();
      source.setShortName(name);
      return new PythonScanBuilder(source, name, schema, new CaseInsensitiveStringMap(options)).build();
    }

    // The scan whose rows are this one's tasks. One and the same: a plan that is made again while it runs keeps
    // what was exported for it.
    public synchronized Scan tasks() {
      if (tasks != null) return tasks;
      Map asked = new HashMap(options);
      asked.put(TASKS, schema.json());
      StructType task = new StructType().add("task", BinaryType$.MODULE$, true);
      tasks = new KustoScan(source, task, asked, query, pushed, null, null);
      return tasks;
    }

    public boolean givesTasks() { return options.containsKey(TASKS); }
    public StructType readSchema() { return inner.readSchema(); }
    public Batch toBatch() { return new KustoBatch(inner.toBatch(), identity); }
    public String description() { return "kusto: " + pushed; }
    public String toString() { return description(); }
    public Scan.ColumnarSupportMode columnarSupportMode() { return Scan.ColumnarSupportMode.UNSUPPORTED; }

    public org.apache.spark.sql.connector.read.Statistics estimateStatistics() {
      final OptionalLong size = bytes == null ? OptionalLong.empty() : OptionalLong.of(bytes.longValue());
      final OptionalLong count = rows == null ? OptionalLong.empty() : OptionalLong.of(rows.longValue());
      return new org.apache.spark.sql.connector.read.Statistics() {
        public OptionalLong sizeInBytes() { return size; }
        public OptionalLong numRows() { return count; }
      };
    }
  }

  // Two scans of one plan that read the same are the same: Spark then reads once for both.
  public static class KustoBatch implements Batch {
    private final Batch inner;
    private final String identity;

    KustoBatch(Batch inner, String identity) {
      this.inner = inner;
      this.identity = identity;
    }

    public InputPartition[] planInputPartitions() { return inner.planInputPartitions(); }
    public PartitionReaderFactory createReaderFactory() { return inner.createReaderFactory(); }
    public boolean equals(Object other) {
      return other instanceof KustoBatch && ((KustoBatch) other).identity.equals(identity);
    }
    public int hashCode() { return identity.hashCode(); }
  }
}
